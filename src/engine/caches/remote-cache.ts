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

/** What a build may take from: the records of its store that count, and caches of other machines. */
export interface CacheImports {
  readonly records: Records;
  readonly remote: RemoteResults | undefined;
}

const MAX_KEY_BYTES = 1 << 20;

/**
 * Nothing is asked for yet.
 * @throws {BuildError} `cli/usage` for keys that are none, `reference/malformed`
 */
export async function openImports(
  options: Pick<CacheOptions, "from" | "trust">,
  engine: Engine,
  progress: ProgressSink,
  signal: AbortSignal,
): Promise<CacheImports> {
  const keys: KeyObject[] = [];
  for (const path of options.trust) keys.push(await readKey(path, "public", engine, signal));
  const trusted = keys.length === 0 ? undefined : keys;
  const records = trusted === undefined ? engine.store.records : trustedRecords(engine.store, trusted);
  if (options.from.length === 0) return { records, remote: undefined };
  const sources = options.from.map((from) => openCache(from, engine));
  return {
    records,
    remote: new RemoteResults(sources, { store: engine.store, progress, trusted, clock: engine.environment }),
  };
}

export function openCache(place: CachePlace, engine: Engine): CacheSink {
  switch (place.kind) {
    case "registry":
      return new RegistryCache(parseReference(place.ref), () => engine.registry());
    case "local":
      return new DirectoryCache(
        resolve(engine.environment.workingDirectory, place.directory),
        randomUUID,
        engine.environment,
      );
    default:
      return place satisfies never;
  }
}

/** @throws {BuildError} `cli/usage` */
export async function readKey(
  path: string,
  kind: "private" | "public",
  engine: Engine,
  signal: AbortSignal,
): Promise<KeyObject> {
  const refuse = (why: string, cause?: unknown): BuildError =>
    new BuildError("cli/usage", `Cannot read the key ${JSON.stringify(path)}: ${why}`, { cause });
  let pem: Uint8Array;
  try {
    const file = { path: resolve(engine.environment.workingDirectory, path), refuse };
    pem = await readGiven(file, MAX_KEY_BYTES, signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw cause instanceof BuildError ? cause : refuse(messageOf(cause), cause);
  }
  return parseKey(pem, kind, path);
}
