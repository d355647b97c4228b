import { createReadStream, createWriteStream } from "node:fs";
import { access, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Digest, DigestStream, hexOf } from "../../../lib/core/digest.ts";
import { BuildError, errnoOf, messageOf } from "../../../lib/core/errors.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import { makeDirectory } from "../../../lib/core/make-directory.ts";
import { type Removed, removeUnused } from "./directory-retention.ts";
import { buildKitCache, isBuildKitDirectory } from "./buildkit-cache.ts";
import type { CacheBlob, CacheEntry, CacheSink, EntryName } from "./backend.ts";

/** Maximum size of an entry: that of a manifest in a registry. */
const MAX_ENTRY_BYTES = 4 << 20;

/**
 * A cache in a directory, perhaps on a network file system that several machines write concurrently:
 *
 *     kiln-cache               marks the directory as a cache
 *     entries/<name>.json
 *     blobs/sha256/<hex>
 *
 * Everything is written under a temporary name and renamed; nothing is locked or changed. An export touches the files
 * it finds there, so that their age tells how long they were unused.
 */
export class DirectoryCache implements CacheSink {
  readonly keepsNamedBlobs = true;
  readonly location: string;
  readonly repository: string;
  readonly #directory: string;
  readonly #newId: () => string;
  readonly #clock: { nowMs(): number };

  /**
   * @param directory absolute path. `newId` names temporary files: it must never give one name twice, on any machine.
   */
  constructor(directory: string, newId: () => string, clock: { nowMs(): number }) {
    this.#directory = directory;
    this.#newId = newId;
    this.#clock = clock;
    this.location = directory;
    this.repository = directory;
  }

  /**
   * Tells whether the directory is a cache.
   * @throws {BuildError} `cache/import-failed` for a cache of BuildKit's
   */
  async exists(): Promise<boolean> {
    if (await this.#isMarked()) return true;
    if (await isBuildKitDirectory(this.#directory)) {
      throw buildKitCache(`type=local,dest=${this.#directory}-kiln,mode=max`);
    }
    return false;
  }

  async read(name: EntryName): Promise<CacheEntry | undefined> {
    try {
      const path = this.#entryPath(name);
      const status = await stat(path);
      // Reading a pipe or a device might never end.
      if (!status.isFile() || status.size > MAX_ENTRY_BYTES) return undefined;
      const json = parseJson(await readFile(path, "utf8"));
      if (!isRecord(json) || typeof json["entry"] !== "string") return undefined;
      const { entry: text, signature } = json;
      return { text, signature: typeof signature === "string" ? signature : undefined };
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async openBlob(blob: CacheBlob, signal: AbortSignal): Promise<Readable> {
    return openDirectoryBlob(this.#directory, blob, { offsetBytes: 0, check: "digest" }, signal);
  }

  async prepare(): Promise<void> {
    try {
      for (const name of ["entries", "blobs/sha256"]) makeDirectory(join(this.#directory, name));
    } catch (error) {
      throw new BuildError("cache/export-failed", `Cannot make the cache "${this.#directory}": ${messageOf(error)}`, {
        cause: error,
      });
    }
    if (!(await this.#isMarked())) await this.#write(join(this.#directory, MARKER), "kiln cache 1\n");
  }

  async hasBlob(digest: Digest): Promise<boolean> {
    return touched(blobPath(this.#directory, digest), this.#clock.nowMs());
  }

  async putBlob(blob: CacheBlob, content: Parameters<CacheSink["putBlob"]>[1], signal: AbortSignal): Promise<void> {
    const path = blobPath(this.#directory, blob.digest);
    if (await touched(path, this.#clock.nowMs())) return;
    const partial = this.#partial(path);
    try {
      const digesting = new DigestStream();
      await pipeline(await content.open(signal), digesting, createWriteStream(partial), { signal });
      checkBlob(blob, digesting, this.#directory);
      await rename(partial, path);
    } finally {
      await rm(partial, { force: true });
    }
  }

  async hasEntry(name: EntryName): Promise<boolean> {
    return touched(this.#entryPath(name), this.#clock.nowMs());
  }

  async putEntry(name: EntryName, entry: CacheEntry): Promise<void> {
    const { text, signature } = entry;
    await this.#write(this.#entryPath(name), JSON.stringify({ entry: text, signature }));
  }

  async removeUnused(beforeMs: number, signal: AbortSignal): Promise<Removed> {
    return removeUnused(this.#directory, beforeMs, signal);
  }

  async #isMarked(): Promise<boolean> {
    return isThere(join(this.#directory, MARKER));
  }

  async #write(path: string, text: string): Promise<void> {
    const partial = this.#partial(path);
    try {
      await writeFile(partial, text, { flag: "wx" });
      await rename(partial, path);
    } finally {
      await rm(partial, { force: true });
    }
  }

  #partial(path: string): string {
    return join(dirname(path), `.${this.#newId()}.partial`);
  }

  #entryPath(name: EntryName): string {
    return join(this.#directory, "entries", `${name}.json`);
  }
}

const MARKER = "kiln-cache";

/**
 * Opens a blob of a cache in a directory.
 * @throws {BuildError} `cache/import-failed` when it does not exist
 */
export async function openDirectoryBlob(
  directory: string,
  blob: CacheBlob,
  from: { readonly offsetBytes: number; readonly check: "digest" | "none" },
  signal: AbortSignal,
): Promise<Readable> {
  const path = blobPath(directory, blob.digest);
  if (!(await isFile(path))) {
    throw new BuildError(
      "cache/import-failed",
      `Cannot read blob "${blob.digest}": ${JSON.stringify(directory)} has it not`,
    );
  }
  const file = createReadStream(path, { start: from.offsetBytes, highWaterMark: 1 << 20 });
  if (from.check === "none") return file;
  const digesting = new DigestStream();
  const out = new PassThrough({
    flush(done) {
      try {
        checkBlob(blob, digesting, directory);
        done();
      } catch (error) {
        done(error instanceof Error ? error : undefined);
      }
    },
  });
  // The reader sees an error on `out`, because pipeline destroys it.
  pipeline(file, digesting, out, { signal }).catch(() => {});
  return out;
}

function checkBlob(blob: CacheBlob, read: DigestStream, directory: string): void {
  const { digest, sizeBytes } = read.result();
  if (digest === blob.digest && sizeBytes === blob.size) return;
  throw new BuildError(
    "digest/mismatch",
    `Cannot use blob "${blob.digest}" of ${JSON.stringify(directory)}: its bytes are others`,
  );
}

function blobPath(directory: string, digest: Digest): string {
  return join(directory, "blobs/sha256", hexOf(digest));
}

/** Tells whether a file exists, and marks it as used now. */
async function touched(path: string, nowMs: number): Promise<boolean> {
  try {
    await utimes(path, nowMs / 1000, nowMs / 1000);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    // Another user's file: its time cannot be set.
    return isThere(path);
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await isThere(path)) && (await stat(path)).isFile();
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
