import { randomUUID, type KeyObject } from "node:crypto";
import { resolve } from "node:path";
import { BuildError, messageOf } from "../../../lib/core/errors.ts";
import { readGiven } from "../../../lib/core/given-file.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import { parseReference } from "../../../lib/core/reference.ts";
import type { Records } from "../../../lib/store/store.ts";
import type { CacheSink } from "../../../solver/cache/remote/backend.ts";
import { DirectoryCache } from "../../../solver/cache/remote/directory-cache.ts";
import { RegistryCache } from "../../../solver/cache/remote/registry-cache.ts";
import { RemoteResults } from "../../../solver/cache/remote/remote-results.ts";
import { parseKey } from "../../../solver/cache/remote/signature.ts";
import { trustedRecords } from "../../../solver/cache/remote/trust.ts";
import type { CacheOptions, CachePlace } from "./cache-options.ts";
import type { Engine } from "../engine.ts";

/** Sources of results for a build: the trusted records of its store, and caches of other machines. */
export interface CacheImports {
  readonly records: Records;
  /** True when others' records count only if signed. */
  readonly isTrusting: boolean;
  readonly remote: RemoteResults | undefined;
}

const MAX_PEM_BYTES = 1 << 20;

type ImportParts = Pick<Engine, "environment" | "registry" | "objects" | "clusters" | "store">;

/**
 * Opens the imports, without any request yet.
 * @throws {BuildError} `cli/usage` for malformed keys, `reference/malformed`
 */
export async function openImports(
  options: Pick<CacheOptions, "from" | "trust"> | undefined,
  engine: ImportParts,
  progress: ProgressSink,
  signal: AbortSignal,
): Promise<CacheImports> {
  const keys: KeyObject[] = [];
  const { from = [], trust = [] } = options ?? {};
  for (const path of trust) keys.push(await readKey(path, "public", engine, signal));
  const trusted = keys.length === 0 ? undefined : keys;
  const records = trusted === undefined ? engine.store.records : trustedRecords(engine.store, trusted);
  const isTrusting = trusted !== undefined;
  if (from.length === 0) return { records, isTrusting, remote: undefined };
  const sources: CacheSink[] = [];
  for (const place of from) sources.push(await openCache(place, engine, signal));
  return {
    records,
    isTrusting,
    remote: new RemoteResults(sources, { store: engine.store, progress, trusted, clock: engine.environment }),
  };
}

export async function openCache(
  place: CachePlace,
  engine: Pick<Engine, "environment" | "registry" | "objects" | "clusters">,
  signal: AbortSignal,
): Promise<CacheSink> {
  switch (place.kind) {
    case "registry":
      return new RegistryCache(parseReference(place.ref), () => engine.registry());
    case "local":
      return new DirectoryCache(
        resolve(engine.environment.workingDirectory, place.directory),
        randomUUID,
        engine.environment,
      );
    case "reapi": {
      const { ClusterCache } = await import("../../../solver/cache/remote/cluster-cache.ts");
      return new ClusterCache(await (await engine.clusters()).at(place.url, signal));
    }
    case "s3":
    case "gha":
      return (await engine.objects()).open(place);
    default:
      return place satisfies never;
  }
}

/**
 * Reads a key.
 * @throws {BuildError} `cli/usage`
 */
export async function readKey(
  path: string,
  kind: "private" | "public",
  engine: Pick<Engine, "environment">,
  signal: AbortSignal,
): Promise<KeyObject> {
  const refuse = (why: string, cause?: unknown): BuildError =>
    new BuildError("cli/usage", `Cannot read the key ${JSON.stringify(path)}: ${why}`, { cause });
  let pem: Uint8Array;
  try {
    const file = { path: resolve(engine.environment.workingDirectory, path), refuse };
    pem = await readGiven(file, MAX_PEM_BYTES, signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw cause instanceof BuildError ? cause : refuse(messageOf(cause), cause);
  }
  return parseKey(pem, kind, path);
}
