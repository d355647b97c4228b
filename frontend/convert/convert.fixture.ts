import { digestOf } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import type { ImageConfig } from "../../lib/core/oci.ts";
import { type Platform, formatPlatform } from "../../lib/core/platform.ts";
import { SourceText } from "../../lib/core/span.ts";
import { inputsFirst } from "../../solver/graph/order.ts";
import type { Op } from "../../solver/graph/op.ts";
import type { Vertex } from "../../solver/graph/vertex.ts";
import { parseDockerfile } from "../parse.ts";
import { convertDockerfile } from "./convert.ts";
import type { Conversion } from "./conversion.ts";
import { type ConvertOptions, NO_FLAGS } from "./options.ts";
import type { ContextSource, Resolver } from "./resolver.ts";

/*
 * Shared by the tests of the conversion: a resolver that knows a few images and records the requests it gets.
 */

export const AMD64: Platform = { os: "linux", architecture: "amd64" };

const OPTIONS: ConvertOptions = {
  ...NO_FLAGS,
  buildPlatform: AMD64,
  context: { kind: "local", name: "context", excludes: [] },
};

export interface World {
  /** Images by full name; `busybox` and `rich` are always present. */
  readonly images?: Readonly<Record<string, Partial<ImageConfig>>>;
  readonly contexts?: Readonly<Record<string, ContextSource>>;
  readonly sourceDate?: number;
}

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export function imageConfig(config: Partial<ImageConfig> = {}): ImageConfig {
  return {
    architecture: "amd64",
    os: "linux",
    created: "2024-01-01T00:00:00Z",
    config: { Env: [PATH] },
    rootfs: { type: "layers", diff_ids: [digestOf("layer")] },
    history: [{ created: "2024-01-01T00:00:00Z", created_by: "base" }],
    other: {},
    ...config,
  };
}

const IMAGES: Readonly<Record<string, Partial<ImageConfig>>> = {
  "docker.io/library/busybox:latest": {},
  "docker.io/library/rich:latest": {
    author: "them",
    config: {
      User: "app",
      ExposedPorts: { "1/tcp": {} },
      Env: [PATH, "BASE=1"],
      Entrypoint: ["/entry"],
      Cmd: ["run"],
      Volumes: { "/data": {} },
      WorkingDir: "/srv",
      Labels: { from: "base" },
      StopSignal: "SIGINT",
      Healthcheck: { Test: ["CMD", "true"] },
      Shell: ["/bin/bash", "-c"],
    },
    other: { "x.vendor": 1 },
  },
};

/** Makes a resolver that answers from a table and lists its requests in `asked`. */
export function resolverOf(world: World): Resolver & { readonly asked: string[] } {
  const asked: string[] = [];
  const images = { ...IMAGES, ...world.images };
  return {
    asked,
    image: async (ref, { platform }) => {
      asked.push(`${ref} ${formatPlatform(platform)}`);
      const known = images[ref];
      if (known === undefined) throw new BuildError("image/not-found", `Cannot find ${ref}`);
      return { ref, manifest: digestOf(ref), config: imageConfig(known) };
    },
    namedContext: async (name) => world.contexts?.[name],
    sourceDate: async () => world.sourceDate,
  };
}

export async function convert(
  text: string,
  options: Partial<ConvertOptions> = {},
  resolver: Resolver = resolverOf({}),
): Promise<Conversion> {
  const dockerfile = parseDockerfile(new SourceText("Dockerfile", text));
  return convertDockerfile(dockerfile, { ...OPTIONS, ...options }, resolver, new AbortController().signal);
}

/**
 * Lists what `docker history` would show, oldest first. Entries without a layer are in brackets; those of the base are
 * left out.
 */
export function historyOf(conversion: Conversion): string[] {
  return conversion.history.flatMap((entry) => {
    if (entry.kind === "base") return [];
    return [entry.emptyLayer ? `(${entry.createdBy})` : entry.createdBy];
  });
}

export function warningsOf(conversion: Pick<Conversion, "warnings">): string[] {
  return conversion.warnings.map(({ rule, message, span }) => `${span.start.line} ${rule}: ${message}`);
}

/** Lists all vertices of the target, inputs before users. */
export function verticesOf({ target }: Conversion): Vertex[] {
  return target === undefined ? [] : inputsFirst([target]);
}

export function opsOf<Kind extends Op["kind"]>(
  conversion: Conversion,
  kind: Kind,
): Extract<Op, { readonly kind: Kind }>[] {
  const isKind = (op: Op): op is Extract<Op, { readonly kind: Kind }> => op.kind === kind;
  return verticesOf(conversion)
    .map((vertex) => vertex.op)
    .filter(isKind);
}

/** Finds the only op of its kind. */
export function opOf<Kind extends Op["kind"]>(
  conversion: Conversion,
  kind: Kind,
): Extract<Op, { readonly kind: Kind }> {
  const [op, ...others] = opsOf(conversion, kind);
  if (op === undefined || others.length > 0)
    throw new Error(`expected one ${kind}, found ${others.length + (op ? 1 : 0)}`);
  return op;
}

export async function failure(work: Promise<unknown>): Promise<BuildError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof BuildError) return error;
    throw error;
  }
  throw new Error("expected a BuildError");
}
