import type { Readable } from "node:stream";
import type { Digest } from "../../../lib/core/digest.ts";
import type { Removed } from "./directory-retention.ts";
import type { Descriptor } from "../../../lib/core/oci.ts";

/** A document under a name, as it was written. `signature` is the base64 of an ed25519 signature of the text. */
export interface CacheEntry {
  readonly text: string;
  readonly signature: string | undefined;
}

/** The name of an entry: its kind and, in hex, the digest that is looked up. */
export type EntryName = `${"d" | "c" | "m"}-${string}`;

export type CacheBlob = Pick<Descriptor, "mediaType" | "digest" | "size">;

/** A source of cached results: entries by name, blobs by digest. */
export interface CacheSource {
  /** Display name: `ghcr.io/me/cache`, `/mnt/cache`. */
  readonly location: string;
  /** Place of the blobs, in the form of `LayerBlob.repository`. */
  readonly repository: string;
  /** Tells whether there is a cache at all. Called once, before anything is read. */
  exists(signal: AbortSignal): Promise<boolean>;
  /** Reads an entry; `undefined` when there is none. The text is unchecked. */
  read(name: EntryName, signal: AbortSignal): Promise<CacheEntry | undefined>;
  /** Opens a blob; its bytes are checked before the end of the stream. */
  openBlob(blob: CacheBlob, signal: AbortSignal): Promise<Readable>;
}

/**
 * A destination of cached results. Blobs are written before the entries that name them, so that an entry never refers
 * to a missing blob.
 */
export interface CacheSink extends CacheSource {
  /** True where a blob stays as long as an entry that names it; elsewhere each goes by its own age. */
  readonly keepsNamedBlobs: boolean;
  /** Creates the cache when there is none. */
  prepare(signal: AbortSignal): Promise<void>;
  hasBlob(digest: Digest, signal: AbortSignal): Promise<boolean>;
  /** Writes a blob that `hasBlob` did not find. */
  putBlob(
    blob: CacheBlob,
    /** `from`: a repository that is known to have it too. */
    content: { open(signal: AbortSignal): Readable | Promise<Readable>; readonly from?: string | undefined },
    signal: AbortSignal,
  ): Promise<void>;
  hasEntry(name: EntryName, signal: AbortSignal): Promise<boolean>;
  /**
   * Writes an entry completely or not at all, replacing an existing one. `blobs`: all blobs here that the entry names.
   */
  putEntry(name: EntryName, entry: CacheEntry, blobs: readonly CacheBlob[], signal: AbortSignal): Promise<void>;
  /**
   * Removes entries and blobs that no export has written or found since then. Absent where others decide on that, as
   * registries do.
   */
  removeUnused?(beforeMs: number, signal: AbortSignal): Promise<Removed>;
}
