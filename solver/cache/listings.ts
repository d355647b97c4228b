import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import type { Digest } from "../../lib/core/digest.ts";
import type { Blobs } from "../../lib/store/store.ts";

/**
 * Limit of a listing that is read back: some hundred thousand files. Beyond it, a miss says "files changed" without
 * names.
 */
const MAX_TEXT_BYTES = 64 * 1024 * 1024;

/** Compression level. Most of a listing is digests: level 3 takes twice the time of 1 and saves nothing. */
const LEVEL = 1;

/** Listings of files, kept for later explanations. An instance serves one step and reads none twice. */
export class Listings {
  readonly #blobs: Pick<Blobs, "put" | "readBytes">;
  readonly #known = new Map<Digest, string>();

  constructor(blobs: Pick<Blobs, "put" | "readBytes">) {
    this.#blobs = blobs;
  }

  /** Stores a listing compressed, because it is mostly paths. */
  keep(listing: string): Digest {
    const bytes = zstdCompressSync(listing, { params: { [constants.ZSTD_c_compressionLevel]: LEVEL } });
    const { digest } = this.#blobs.put(bytes);
    this.#known.set(digest, listing);
    return digest;
  }

  /**
   * Reads a listing; `undefined` when it has been collected or is damaged, because an explanation must not fail a
   * build.
   */
  read(digest: Digest): string | undefined {
    const known = this.#known.get(digest) ?? this.#stored(digest);
    if (known !== undefined) this.#known.set(digest, known);
    return known;
  }

  #stored(digest: Digest): string | undefined {
    try {
      const bytes = this.#blobs.readBytes(digest, MAX_TEXT_BYTES);
      return bytes === undefined
        ? undefined
        : zstdDecompressSync(bytes, { maxOutputLength: MAX_TEXT_BYTES }).toString();
    } catch {
      return undefined;
    }
  }
}
