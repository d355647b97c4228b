import type { Readable } from "node:stream";
import type { Digest } from "../../../lib/core/digest.ts";
import type { Removed } from "./directory-retention.ts";
import type { Descriptor } from "../../../lib/core/oci.ts";

/** A document under a name, as it was written. `signature` is base64 of an ed25519 signature of the text. */
export interface CacheEntry {
  readonly text: string;
  readonly signature: string | undefined;
}

/** Names an entry: what it is and, in hex, the digest that it is looked up by. */
export type EntryName = `${"d" | "c" | "m"}-${string}`;

export type CacheBlob = Pick<Descriptor, "mediaType" | "digest" | "size">;

/** Where cached results are found: entries by name, blobs by digest. */
export interface CacheSource {
  /** For messages: `ghcr.io/me/cache`, `/mnt/cache`. */
  readonly location: string;
  /** Where the blobs are, as `LayerBlob.repository` says it. */
  readonly repository: string;
  /** Whether there is a cache at all. Asked once, before anything is read. */
  exists(signal: AbortSignal): Promise<boolean>;
  /** `undefined` when there is no such entry. The text is not checked in any way. */
  read(name: EntryName, signal: AbortSignal): Promise<CacheEntry | undefined>;
  /** The blob's bytes; they are checked before the end of the stream is reached. */
  openBlob(blob: CacheBlob, signal: AbortSignal): Promise<Readable>;
}

/** Where cached results are kept. Blobs are written before the entries that name them, so that an entry is never in want. */
export interface CacheSink extends CacheSource {
  /** Makes the cache when there is none. */
  prepare(signal: AbortSignal): Promise<void>;
  hasBlob(digest: Digest, signal: AbortSignal): Promise<boolean>;
  putBlob(
    blob: CacheBlob,
    /** `from`: the repository that has it too, when one is known. */
    content: { open(signal: AbortSignal): Readable | Promise<Readable>; readonly from?: string | undefined },
    signal: AbortSignal,
  ): Promise<void>;
  hasEntry(name: EntryName, signal: AbortSignal): Promise<boolean>;
  /** Complete or not at all; one that is there is replaced. `blobs`: all that the entry names and that are here. */
  putEntry(name: EntryName, entry: CacheEntry, blobs: readonly CacheBlob[], signal: AbortSignal): Promise<void>;
  /** Removes what no export has written or found since then. Absent where others decide on that, as registries do. */
  removeUnused?(beforeMs: number, signal: AbortSignal): Promise<Removed>;
}
