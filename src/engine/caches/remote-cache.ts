import { randomUUID, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { BuildError, messageOf } from "../../../lib/core/errors.ts";
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

/**
 * Nothing is asked for yet.
 * @throws {BuildError} `cli/usage` for keys that are none, `reference/malformed`
 */
export function openImports(
  options: Pick<CacheOptions, "from" | "trust">,
  engine: Engine,
  progress: ProgressSink,
): CacheImports {
  const trusted = options.trust.length === 0 ? undefined : options.trust.map((path) => readKey(path, "public", engine));
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
export function readKey(path: string, kind: "private" | "public", engine: Engine): KeyObject {
  let pem: Uint8Array;
  try {
    pem = readFileSync(resolve(engine.environment.workingDirectory, path));
  } catch (cause) {
    throw new BuildError("cli/usage", `Cannot read the key ${JSON.stringify(path)}: ${messageOf(cause)}`, { cause });
  }
  return parseKey(pem, kind, path);
}
