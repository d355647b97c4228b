import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { Digest } from "../../lib/core/digest.ts";
import type { Blobs } from "../../lib/store/store.ts";

/** Largest listing that is read back: some hundred thousand files. Beyond, a miss says "files changed" and no names. */
const MAX_TEXT_BYTES = 64 * 1024 * 1024;

/** Most of a listing is digests: level 3 takes twice the time of 1 and saves nothing. */
const LEVEL = 1;

/** Keeps a listing of files for later explanations. Compressed: it is mostly paths. */
export function keepListing(blobs: Pick<Blobs, "put">, listing: string): Digest {
  return blobs.put(zstdCompressSync(listing, { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } })).digest;
}

/** `undefined` when it has been collected, or is damaged: an explanation is not worth failing for. */
export function readListing(blobs: Pick<Blobs, "readBytes">, digest: Digest): string | undefined {
  try {
    const bytes = blobs.readBytes(digest, MAX_TEXT_BYTES);
    return bytes === undefined ? undefined : zstdDecompressSync(bytes, { maxOutputLength: MAX_TEXT_BYTES }).toString();
  } catch {
    return undefined;
  }
}
