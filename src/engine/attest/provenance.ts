import type { Json } from "../../../lib/core/json.ts";
import { formatPlatform, type Platform } from "../../../lib/core/platform.ts";
import { imagePurl } from "../../../lib/core/purl.ts";
import { parseReference } from "../../../lib/core/reference.ts";
import type { SourceText } from "../../../lib/core/span.ts";
import type { Attestation } from "../../export/attestation.ts";
import { formatTime } from "../../export/history.ts";
import { unreachable } from "../../../lib/core/errors.ts";
import type { Op } from "../../../solver/graph/op.ts";
import { commandOf } from "../../../solver/graph/op-facts.ts";
import { inputsFirst } from "../../../solver/graph/order.ts";
import type { Vertex, VertexMeta } from "../../../solver/graph/vertex.ts";
import type { Digest } from "../../../lib/core/digest.ts";
import type { ProvenanceOptions } from "./provenance-options.ts";
import { redactor } from "../redact.ts";

/** Facts about a solved build, for its provenance. */
export interface BuildFacts {
  readonly id: string;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly buildPlatform: Platform;
  readonly dockerfile: SourceText;
  /** The context as typed: a directory, a URL. */
  readonly context: string;
  /** The digest of a remote context, which is then one of the materials. */
  readonly contextDigest: Readonly<Record<string, string>> | undefined;
  readonly target: string | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly labels: Readonly<Record<string, string>>;
  readonly noCache: boolean;
  /** `source`, `revision`, and `localdir:NAME` of the repository around the context. */
  readonly vcs: Readonly<Record<string, string>>;
  /** Returns the source digest of a vertex that fetches: `commit` of a repository, `sha256` of a file. */
  readonly digestOf: (vertex: Vertex) => Readonly<Record<string, string>> | undefined;
}

const BUILD_TYPE = {
  v1: "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
  "v0.2": "https://mobyproject.org/buildkit@v1",
} as const;

/**
 * Makes the provenance of one platform's image, in BuildKit's form, because tools read that. Steps are kiln's own
 * operations. Values with secret-looking names, and credentials in URLs, are removed wherever they occur.
 */
export function provenance(
  target: Vertex | undefined,
  meta: ReadonlyMap<Digest, VertexMeta>,
  facts: BuildFacts,
  options: ProvenanceOptions,
): Attestation {
  const vertices = target === undefined ? [] : inputsFirst([target]);
  const clean = redactor(secretsIn(vertices, facts));
  const dockerfile = clean(facts.dockerfile.text);
  const parts = partsOf(vertices, meta, { ...facts, text: typeof dockerfile === "string" ? dockerfile : "" }, options);
  return {
    predicateType: `https://slsa.dev/provenance/${options.version}`,
    predicate: clean(
      options.version === "v1" ? predicateV1(parts, facts, options) : predicateV02(parts, facts, options),
    ),
  };
}

/** `text` is the Dockerfile's, without secrets. */
type CleanFacts = BuildFacts & { readonly text: string };

interface Parts {
  readonly materials: readonly { readonly uri: string; readonly digest: Readonly<Record<string, string>> }[];
  /** True when the materials are all inputs: no files of this machine are among them. */
  readonly isComplete: boolean;
  /** True when also no step could use the network. */
  readonly isHermetic: boolean;
  readonly configSource: {
    readonly uri?: string;
    readonly digest?: Readonly<Record<string, string>>;
    readonly path: string;
  };
  readonly request: { readonly [name: string]: Json };
  readonly buildConfig: Json | undefined;
  readonly metadata: Json | undefined;
}

function partsOf(
  vertices: readonly Vertex[],
  meta: ReadonlyMap<Digest, VertexMeta>,
  facts: CleanFacts,
  { mode }: ProvenanceOptions,
): Parts {
  const found = vertices.flatMap((vertex) => {
    const uri = uriOf(vertex.op);
    return uri === undefined ? [] : { uri, digest: digestsOf(vertex, facts) };
  });
  const { contextDigest } = facts;
  const isRemote = contextDigest !== undefined || /^[a-z]+:\/\/|^git@/.test(facts.context);
  if (contextDigest !== undefined) found.push({ uri: facts.context, digest: contextDigest });
  const materials = [...new Map(found.map((one) => [one.uri, one])).values()].toSorted((a, b) =>
    a.uri < b.uri ? -1 : 1,
  );
  const isFromHere = contextDigest === undefined || facts.dockerfile.name === "<stdin>";
  const hasLocal = isFromHere || vertices.some(({ op }) => op.kind === "local" && op.name !== "context");
  const isComplete = !hasLocal && materials.every(({ digest }) => Object.keys(digest).length > 0);
  const hasNetwork = vertices.some(({ op }) => (commandOf(op)?.network ?? "none") !== "none");
  const steps = new Map(vertices.map((vertex, index) => [vertex.digest, `step${index}`]));
  return {
    materials,
    isComplete,
    isHermetic: isComplete && !hasNetwork,
    configSource: {
      ...(isRemote ? { uri: facts.context } : {}),
      ...(contextDigest === undefined ? {} : { digest: contextDigest }),
      path: facts.dockerfile.name,
    },
    request: requestOf(vertices, facts, mode),
    buildConfig: mode === "min" ? undefined : buildConfigOf(vertices, steps),
    metadata: metadataOf({
      ...(Object.keys(facts.vcs).length === 0 ? {} : { vcs: facts.vcs }),
      ...(mode === "min" ? {} : { source: sourceOf(vertices, steps, meta, facts) }),
    }),
  };
}

function metadataOf(metadata: Readonly<Record<string, Json>>): Json | undefined {
  return Object.keys(metadata).length === 0 ? undefined : metadata;
}

function uriOf(op: Op): string | undefined {
  switch (op.kind) {
    case "image":
      return imagePurl(parseReference(op.ref), op.platform);
    case "git":
      return op.ref === undefined ? op.remote : `${op.remote}#${op.ref}`;
    case "http":
      return op.url;
    case "local":
    case "exec":
    case "file":
    case "merge":
    case "diff":
      return undefined;
    default:
      return unreachable(op);
  }
}

function digestsOf(vertex: Vertex, facts: BuildFacts): Readonly<Record<string, string>> {
  if (vertex.op.kind === "image") return { sha256: hex(vertex.op.manifest) };
  return facts.digestOf(vertex) ?? {};
}

function hex(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1);
}

function requestOf(
  vertices: readonly Vertex[],
  facts: BuildFacts,
  mode: ProvenanceOptions["mode"],
): { readonly [name: string]: Json } {
  const own = facts.contextDigest === undefined ? ["context", "dockerfile"] : [];
  const mounted = vertices.flatMap(({ op }) => (op.kind === "local" ? op.name : []));
  const locals = [...new Set([...own, ...mounted])].filter((name) => name !== "context" || own.length > 0);
  const args: Record<string, Json> = {
    ...(facts.target === undefined ? {} : { target: facts.target }),
    ...(facts.noCache ? { "no-cache": "" } : {}),
  };
  if (mode === "max") {
    for (const [name, value] of facts.buildArgs) args[`build-arg:${name}`] = value;
    for (const [name, value] of Object.entries(facts.labels)) args[`label:${name}`] = value;
  }
  const ids = (type: "secret" | "ssh"): Json[] => {
    const mounts = vertices.flatMap(({ op }) => commandOf(op)?.mounts ?? []);
    const required = new Map<string, boolean>();
    for (const mount of mounts) {
      if (mount.type === type) required.set(mount.id, mount.required || required.get(mount.id) === true);
    }
    return [...required].map(([id, isRequired]) => ({ id, ...(isRequired ? {} : { optional: true }) }));
  };
  const [secrets, ssh] = mode === "max" ? [ids("secret"), ids("ssh")] : [[], []];
  return {
    frontend: "dockerfile.v0",
    args,
    ...(secrets.length === 0 ? {} : { secrets }),
    ...(ssh.length === 0 ? {} : { ssh }),
    ...(locals.length === 0 ? {} : { locals: locals.map((name) => ({ name })) }),
  };
}

function buildConfigOf(vertices: readonly Vertex[], steps: ReadonlyMap<Digest, string>): Json {
  return {
    llbDefinition: vertices.map(({ digest, op, inputs }) => ({
      id: steps.get(digest),
      op: (op.kind === "exec" ? { ...op, env: op.env.flat() } : op) as Json,
      ...(inputs.length === 0 ? {} : { inputs: inputs.map((input) => `${steps.get(input.digest)}:0`) }),
    })),
    digestMapping: Object.fromEntries(vertices.map(({ digest }) => [digest, steps.get(digest)])),
  };
}

/** Makes the map from steps to places in the file, with the file. */
function sourceOf(
  vertices: readonly Vertex[],
  steps: ReadonlyMap<Digest, string>,
  meta: ReadonlyMap<Digest, VertexMeta>,
  { dockerfile, text }: CleanFacts,
): Json {
  const locations = vertices.flatMap(({ digest }): (readonly [string, Json])[] => {
    const span = meta.get(digest)?.span;
    const step = steps.get(digest);
    if (span === undefined || step === undefined) return [];
    const ranges = [{ start: { line: span.start.line }, end: { line: span.end.line } }];
    return [[step, { locations: [{ ranges }] }]];
  });
  return {
    locations: Object.fromEntries(locations),
    infos: [{ filename: dockerfile.name, language: "Dockerfile", data: Buffer.from(text).toString("base64") }],
  };
}

function predicateV1(parts: Parts, facts: BuildFacts, { mode, builderId, reproducible }: ProvenanceOptions): Json {
  return {
    buildDefinition: {
      buildType: BUILD_TYPE.v1,
      externalParameters: { configSource: parts.configSource, request: parts.request },
      internalParameters: {
        ...(parts.buildConfig === undefined ? {} : { buildConfig: parts.buildConfig }),
        builderPlatform: formatPlatform(facts.buildPlatform),
      },
      resolvedDependencies: parts.materials,
    },
    runDetails: {
      builder: { id: builderId },
      metadata: {
        invocationId: facts.id,
        startedOn: formatTime(facts.startedAtMs),
        finishedOn: formatTime(facts.finishedAtMs),
        ...(parts.metadata === undefined ? {} : { buildkit_metadata: parts.metadata }),
        buildkit_hermetic: parts.isHermetic,
        buildkit_completeness: { request: mode === "max", resolvedDependencies: parts.isComplete },
        buildkit_reproducible: reproducible,
      },
    },
  };
}

function predicateV02(parts: Parts, facts: BuildFacts, { mode, builderId, reproducible }: ProvenanceOptions): Json {
  const { path, ...place } = parts.configSource;
  return {
    builder: { id: builderId },
    buildType: BUILD_TYPE["v0.2"],
    materials: parts.materials,
    invocation: {
      configSource: { ...place, entryPoint: path },
      parameters: parts.request,
      environment: { platform: formatPlatform(facts.buildPlatform) },
    },
    ...(parts.buildConfig === undefined ? {} : { buildConfig: parts.buildConfig }),
    metadata: {
      buildInvocationID: facts.id,
      buildStartedOn: formatTime(facts.startedAtMs),
      buildFinishedOn: formatTime(facts.finishedAtMs),
      completeness: { parameters: mode === "max", environment: true, materials: parts.isComplete },
      reproducible,
      "https://mobyproject.org/buildkit@v1#hermetic": parts.isHermetic,
      ...(parts.metadata === undefined ? {} : { "https://mobyproject.org/buildkit@v1#metadata": parts.metadata }),
    },
  };
}

/** Lists variables and arguments of the build, by name. The redactor decides which are secret. */
function secretsIn(vertices: readonly Vertex[], { buildArgs }: BuildFacts): readonly (readonly [string, string])[] {
  const variables = vertices.flatMap(({ op }) =>
    (commandOf(op)?.env.flat() ?? []).map((text) => {
      const at = text.indexOf("=");
      return [text.slice(0, at), text.slice(at + 1)] as const;
    }),
  );
  return [...buildArgs, ...variables];
}
