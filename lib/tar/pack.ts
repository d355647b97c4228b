import { readSync } from "node:fs";
import { BuildError } from "../core/errors.ts";
import {
  O_DIRECTORY,
  O_NOATIME,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
} from "../native/constants.ts";
import { describeErrno } from "../native/errno.ts";
import type { Native } from "../native/native.ts";
import { type ScanColumns, TreeScan } from "../native/scan.ts";
import type { LayerRuns } from "../core/run-interval.ts";
import { floorSeconds, paddingOf, type TarEntry } from "./entry.ts";
import { encodeHeader, END_OF_ARCHIVE_BYTES } from "./header-write.ts";
import { layerEntries, type LayerEntry, type Marks } from "./layer-entries.ts";

/** What to pack and how. */
export interface PackOptions {
  /** Host path of a layer's own difference, in overlay form. Trusted, and nobody changes it meanwhile. */
  readonly directory: string;
  readonly marks: Marks;
  /** `user` keeps `user.*` attributes too; by default only `security.capability` is kept, as in BuildKit. */
  readonly xattrs?: "capability" | "user";
  /** Later times become this one: whole seconds since 1970 (`rewrite-timestamp`). */
  readonly clampMtimeSeconds?: number;
  /** The time of every member: whole seconds since 1970. */
  readonly mtimeSeconds?: number | undefined;
  /** Times for the layer's content digest. */
  readonly runs?: LayerRuns;
  /** The directory as already scanned with `PACK_SCAN`, to save doing it twice. */
  readonly scan?: ScanColumns;
}

/** How a directory must be scanned to be packed. */
export const PACK_SCAN = { xattrs: true, links: true } as const;

const CHUNK = 1 << 20;
/** Files up to this size are read many at a time. */
const SMALL = 128 << 10;
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;

/** The layer's tar in chunks of about a mebibyte, each valid until the next one is asked for. */
function* packChunks(native: Native, options: PackOptions): Generator<Buffer, void> {
  const dirfd = native.openPath(options.directory, O_PATH | O_DIRECTORY);
  try {
    const scan = options.scan === undefined ? native.scanTreeSync(dirfd, PACK_SCAN) : new TreeScan(options.scan);
    const packer = new Packer(native, dirfd, options);
    const { marks, xattrs = "capability" } = options;
    for (const member of layerEntries({ native, dirfd, scan, marks, xattrs })) {
      yield* packer.add(member);
    }
    yield* packer.end();
  } finally {
    native.close(dirfd);
  }
}

/**
 * The layer's tar: same directory, same bytes, on every machine. The event loop gets a turn between chunks; chunks are the
 * reader's to keep. For the tar's digests alone, `measureLayer` of measure.ts is much faster.
 */
export async function* packLayer(
  native: Native,
  options: PackOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  for await (const chunk of lendLayer(native, options, signal)) yield Buffer.from(chunk);
}

/** The same without a copy: each chunk is valid until the next one is asked for. */
export async function* lendLayer(
  native: Native,
  options: PackOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  for (const chunk of packChunks(native, options)) {
    signal.throwIfAborted();
    yield chunk;
  }
}

/** Lays headers and small files out in one block, then has all the files read into their places at once. */
class Packer {
  readonly #native: Native;
  readonly #dirfd: number;
  readonly #options: PackOptions;
  readonly #block: Buffer = Buffer.alloc(CHUNK + SMALL);
  #used = 0;
  #files: { readonly path: string; readonly offset: number; readonly size: number }[] = [];

  constructor(native: Native, dirfd: number, options: PackOptions) {
    this.#native = native;
    this.#dirfd = dirfd;
    this.#options = options;
  }

  *add(source: LayerEntry): Generator<Buffer, void> {
    const entry = { ...source.entry, mtimeNs: this.#mtime(source.entry.mtimeNs) };
    const header = encodeHeader(entry);
    const isSmall = entry.size <= SMALL;
    const room = header.length + (isSmall ? entry.size + paddingOf(entry.size) : 0);
    if (this.#used + room > this.#block.length) yield* this.#flush();
    if (header.length > this.#block.length) {
      // Only an entry with mebibytes of attributes gets here.
      yield header;
    } else {
      header.copy(this.#block, this.#used);
      this.#used += header.length;
    }
    if (entry.size === 0) return;
    if (!isSmall) {
      yield* this.#large(entry);
      return;
    }
    this.#files.push({ path: entry.path, offset: this.#used, size: entry.size });
    const end = this.#used + entry.size;
    this.#used = end + paddingOf(entry.size);
    this.#block.fill(0, end, this.#used);
  }

  *end(): Generator<Buffer, void> {
    if (this.#used + END_OF_ARCHIVE_BYTES > this.#block.length) yield* this.#flush();
    this.#block.fill(0, this.#used, this.#used + END_OF_ARCHIVE_BYTES);
    this.#used += END_OF_ARCHIVE_BYTES;
    yield* this.#flush();
  }

  #mtime(ns: bigint): bigint {
    const { clampMtimeSeconds, mtimeSeconds } = this.#options;
    const seconds = mtimeSeconds ?? floorSeconds(ns);
    return BigInt(clampMtimeSeconds === undefined ? seconds : Math.min(seconds, clampMtimeSeconds)) * 1_000_000_000n;
  }

  /** Reads what is laid out, and hands the block over. */
  *#flush(): Generator<Buffer, void> {
    const files = this.#files;
    const offsets = Float64Array.from(files, (file) => file.offset);
    const sizes = Float64Array.from(files, (file) => file.size);
    if (files.length > 0) {
      const names = files.map((file) => file.path);
      const read = this.#native.readFilesSync(this.#dirfd, {
        names,
        into: this.#block,
        offsets,
        sizes,
        resolve: RESOLVE,
      });
      for (const [at, file] of files.entries()) if (read[at] !== file.size) throw unreadable(file.path, read[at] ?? 0);
    }
    this.#files = [];
    const chunk = this.#block.subarray(0, this.#used);
    this.#used = 0;
    if (chunk.length > 0) yield chunk;
  }

  /** A file that is passed through in chunks of its own. Its header is the last thing in the block. */
  *#large(entry: TarEntry): Generator<Buffer, void> {
    yield* this.#flush();
    const flags = O_RDONLY | O_NOFOLLOW;
    const fd = openQuietly(this.#native, this.#dirfd, entry.path, flags);
    try {
      let left = entry.size;
      while (left > 0) {
        const got = readSync(fd, this.#block, 0, Math.min(left, CHUNK), null);
        if (got === 0) throw unreadable(entry.path, entry.size - left);
        left -= got;
        const chunk = this.#block.subarray(0, got);
        yield chunk;
      }
    } finally {
      this.#native.close(fd);
    }
    const padding = paddingOf(entry.size);
    this.#block.fill(0, 0, padding);
    this.#used = padding;
  }
}

function openQuietly(native: Native, dirfd: number, path: string, flags: number): number {
  try {
    return native.openat2(dirfd, path, { flags: flags | O_NOATIME, resolve: RESOLVE });
  } catch {
    // O_NOATIME is for the owner and the privileged. Whatever else is wrong is wrong without it too.
    return native.openat2(dirfd, path, { flags, resolve: RESOLVE });
  }
}

function unreadable(path: string, result: number): BuildError {
  const why = result < 0 ? describeErrno(result)[1] : "its size changed while it was read";
  return new BuildError("snapshot/failed", `Cannot pack "${path.toWellFormed()}": ${why}`);
}
