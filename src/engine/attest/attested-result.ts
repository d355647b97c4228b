import { isRecord, type Json } from "../../../lib/core/json.ts";
import { formatPlatform } from "../../../lib/core/platform.ts";
import type { Result } from "../../export/exporter.ts";
import type { OutputSpec } from "../../export/output-spec.ts";
import type { Vertex } from "../../../solver/graph/vertex.ts";
import type { BuildOptions } from "../options.ts";
import type { BuildParts, PartsOf } from "../build-parts.ts";
import type { SolvedBuild } from "../solve-build.ts";
import { type BuildFacts, provenance } from "./provenance.ts";

/** Tells whether an output has a place for attestations: a pushed index, or an OCI layout. */
export function carriesAttestations(output: OutputSpec, { provenance: wanted }: BuildOptions): boolean {
  if (wanted === undefined) return false;
  return (output.kind === "image" && output.push) || (output.kind === "oci" && !wanted.inlineOnly);
}

type AttestParts = PartsOf<"options" | "reporter", "environment" | "store">;

/** Provenance of one platform, for `--metadata-file`. */
export interface RecordedProvenance {
  /** `linux/amd64` */
  readonly platform: string;
  /** A SLSA 0.2 predicate, the form that buildx writes. */
  readonly predicate: Json;
}

/** Makes provenance for the metadata file, whether the images carry one or not; none when it is not requested. */
export function recordedProvenance(solved: SolvedBuild, parts: AttestParts): readonly RecordedProvenance[] {
  const { options } = parts;
  if (options.recordProvenance === undefined) return [];
  const facts = factsOf(solved, parts);
  const { builderId = "", reproducible = false } = options.provenance ?? {};
  const how = { mode: "max", version: "v0.2", builderId, reproducible, inlineOnly: false } as const;
  return solved.prepared.conversions.map(({ target, meta, platform }) => {
    const { predicate } = provenance(target, meta, facts, how);
    return {
      platform: formatPlatform(platform),
      predicate: options.recordProvenance === "min" ? withoutSteps(predicate) : predicate,
    };
  });
}

function withoutSteps(predicate: Json): Json {
  if (!isRecord(predicate)) return predicate;
  const { buildConfig: _steps, metadata: _times, ...rest } = predicate;
  return rest;
}

/** Returns the result, each image with its requested provenance. */
export function withProvenance(solved: SolvedBuild, parts: AttestParts & Pick<BuildParts, "progress">): Result {
  const { result, prepared } = solved;
  const { options, progress } = parts;
  const wanted = options.provenance;
  if (wanted === undefined) return result;
  if (!(options.outputs ?? []).some((output) => carriesAttestations(output, options))) {
    progress({
      kind: "notice",
      level: "warning",
      message: "The provenance goes nowhere: only images that are pushed or written with type=oci have a place for it",
      hint: "add --push, or -o type=oci,dest=FILE",
    });
    return result;
  }
  const facts = factsOf(solved, parts);
  const images = result.images.map((image, index) => {
    const conversion = prepared.conversions[index];
    if (conversion === undefined) return image;
    return { ...image, attestations: [provenance(conversion.target, conversion.meta, facts, wanted)] };
  });
  return { ...result, images };
}

function factsOf({ prepared, outcomes }: SolvedBuild, { engine, options, reporter }: AttestParts): BuildFacts {
  const { store, environment } = engine;
  const digestOf = (vertex: Vertex): Readonly<Record<string, string>> | undefined => {
    const key = outcomes.get(vertex.digest)?.definitionKey;
    const parts = key === undefined ? undefined : store.records.findByDefinitionKey(key)?.parts;
    const valueOf = (name: string): string | undefined => parts?.find((part) => part.name === name)?.value;
    const commit = valueOf("commit");
    if (vertex.op.kind === "git" && commit !== undefined)
      return commit.length === 64 ? { sha256: commit } : { sha1: commit };
    const content = valueOf("content")?.replace(/^sha256:/, "");
    return content === undefined ? undefined : { sha256: content };
  };
  return {
    id: reporter.about.id,
    startedAtMs: reporter.about.startedAtMs,
    finishedAtMs: environment.nowMs(),
    buildPlatform: environment.platform,
    dockerfile: prepared.dockerfile.source,
    context: options.context,
    contextDigest: prepared.context.digest,
    target: options.target,
    buildArgs: prepared.buildArgs,
    labels: options.labels ?? {},
    noCache: options.noCache === true,
    vcs: prepared.vcs,
    digestOf,
  };
}
