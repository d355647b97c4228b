import type { KeyObject } from "node:crypto";
import { BuildError } from "../../../lib/core/errors.ts";
import type { CacheEntry, CacheSink, EntryName } from "../../../solver/cache/remote/backend.ts";
import { decodeMount, type MountDocument, mountEntryName } from "../../../solver/cache/remote/mount-document.ts";
import { isSignedBy, signEntry } from "../../../solver/cache/remote/signature.ts";
import type { CacheTo } from "./cache-options.ts";
import type { Engine } from "../engine.ts";
import { readKey } from "./remote-cache.ts";

/** A signer of written entries, if requested; existing entries then count only with the same signature. */
export interface Signer {
  sign(name: EntryName, text: string): CacheEntry;
  /** Tells whether an entry exists and need not be written again. */
  isDone(name: EntryName, sink: CacheSink, signal: AbortSignal): Promise<boolean>;
  /** Reads the contents of a cache mount in the cache. */
  readMount(id: string, sink: CacheSink, signal: AbortSignal): Promise<MountDocument | undefined>;
}

/**
 * Opens the signer.
 * @throws {BuildError} `cli/usage` for a malformed key
 */
export async function openSigner(
  cache: CacheTo,
  engine: Pick<Engine, "environment">,
  starting: AbortSignal,
): Promise<Signer> {
  const key = cache.sign === undefined ? undefined : await readKey(cache.sign, "private", engine, starting);
  return {
    sign: (name, text) => (key === undefined ? { text, signature: undefined } : signEntry(name, text, key)),
    async isDone(name, sink, signal) {
      if (key === undefined) return sink.hasEntry(name, signal);
      return (await readOwn(name, key, sink, signal)) !== undefined;
    },
    async readMount(id, sink, signal) {
      const entry = await readOwn(mountEntryName(id), key, sink, signal);
      try {
        return entry === undefined ? undefined : decodeMount(entry.text);
      } catch (error) {
        // One in another format, or a damaged one, is written again.
        if (error instanceof BuildError && error.code === "cache/import-failed") return undefined;
        throw error;
      }
    },
  };
}

async function readOwn(
  name: EntryName,
  key: KeyObject | undefined,
  sink: CacheSink,
  signal: AbortSignal,
): Promise<CacheEntry | undefined> {
  const entry = await sink.read(name, signal);
  return entry === undefined || key === undefined || isSignedBy(name, entry, [key]) ? entry : undefined;
}
