import { createHash, hash, type Hash } from "node:crypto";
import { readSync } from "node:fs";
import { type Digest, Digester } from "../core/digest.ts";
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
import { encodeName } from "../native/names.ts";
import type { Native } from "../native/native.ts";
import { type ScanColumns, TreeScan } from "../native/scan.ts";
import { ContentDigester, countsXattr } from "./content-digest.ts";
import { floorSeconds, paddingOf, type TarEntry } from "./entry.ts";
import { encodeHeader, END_OF_ARCHIVE_BYTES } from "./header-write.ts";
import { layerEntries, type LayerEntry, type Marks } from "./layer-entries.ts";

/** What to pack and how. All but `native` is plain data, so that it can be sent to a worker thread. */
export interface PackOptions {
  /** Host path of a layer's own difference, in overlay form. Trusted, and nobody changes it meanwhile. */
  readonly directory: string;
  readonly marks: Marks;
  /** `user` keeps `user.*` attributes too; by default only `security.capability` is kept, as in BuildKit. */
  readonly xattrs?: "capability" | "user";
  /** Later times become this one: whole seconds since 1970 (`rewrite-timestamp`). */
  readonly clampMtimeSeconds?: number;
  /** The directory as already scanned with `PACK_SCAN`, to save doing it twice. */
  readonly scan?: ScanColumns;
}

/** A layer as its tar would be. */
export interface LayerMeasure {
  readonly diffId: Digest;
  readonly sizeBytes: number;
  readonly entries: number;
  /** Of the difference without times; see ContentDigester. */
  readonly contentDigest: Digest;
}

/** How a directory must be scanned to be packed. */
export const PACK_SCAN = { xattrs: true, links: true } as const;

const CHUNK = 1 << 20;
/** Files up to this size are read many at a time. */
const SMALL = 128 << 10;
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;

/**
 * The layer's tar in chunks of about a mebibyte, each valid until the next one is asked for. Synchronous: in the main thread
 * use `packLayer`. Same directory, same bytes, on every machine.
 */
function* packChunks(native: Native, options: PackOptions, content?: ContentDigester): Generator<Buffer, number> {
  const dirfd = native.openPath(options.directory, O_PATH | O_DIRECTORY);
  try {
    const scan = options.scan === undefined ? native.scanTreeSync(dirfd, PACK_SCAN) : new TreeScan(options.scan);
    const packer = new Packer(native, dirfd, options, content);
    let entries = 0;
    const { marks, xattrs = "capability" } = options;
    for (const member of layerEntries({ native, dirfd, scan, marks, xattrs })) {
      entries += 1;
      yield* packer.add(member);
    }
    yield* packer.end();
    return entries;
  } finally {
    native.close(dirfd);
  }
}

/** The layer's tar. The event loop gets a turn between chunks; chunks are the reader's to keep. */
export async function* packLayer(
  native: Native,
  options: PackOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  for (const chunk of packChunks(native, options)) {
    signal.throwIfAborted();
    yield Buffer.from(chunk);
  }
}

/** The pack pass with the bytes going nowhere. Synchronous; see PackPool for doing it beside other work. */
export function measureLayer(native: Native, options: PackOptions): LayerMeasure {
  const digester = new Digester();
  const content = new ContentDigester();
  const chunks = packChunks(native, options, content);
  for (;;) {
    const next = chunks.next();
    if (next.done === true) {
      const { sizeBytes } = digester;
      return { diffId: digester.digest(), sizeBytes, entries: next.value, contentDigest: content.digest() };
    }
    digester.update(next.value);
  }
}

interface Member {
  readonly entry: TarEntry;
  readonly source: LayerEntry;
}

/** Lays headers and small files out in one block, then has all the files read into their places at once. */
class Packer {
  readonly #native: Native;
  readonly #dirfd: number;
  readonly #options: PackOptions;
  readonly #content: ContentDigester | undefined;
  readonly #block: Buffer = Buffer.alloc(CHUNK + SMALL);
  #used = 0;
  #files: { readonly path: string; readonly offset: number; readonly size: number }[] = [];
  #members: Member[] = [];

  constructor(native: Native, dirfd: number, options: PackOptions, content: ContentDigester | undefined) {
    this.#native = native;
    this.#dirfd = dirfd;
    this.#options = options;
    this.#content = content;
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
    this.#members.push({ entry, source });
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
    const { clampMtimeSeconds } = this.#options;
    const seconds = floorSeconds(ns);
    return BigInt(clampMtimeSeconds === undefined ? seconds : Math.min(seconds, clampMtimeSeconds)) * 1_000_000_000n;
  }

  /** Reads what is laid out, tells the content digest, and hands the block over. */
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
    if (this.#content !== undefined) {
      let next = 0;
      for (const member of this.#members) {
        const file = files[next];
        const isFile = file !== undefined && file.path === member.entry.path && member.source.index !== undefined;
        if (isFile) next += 1;
        this.#describe(
          member,
          isFile ? hash("sha256", this.#block.subarray(file.offset, file.offset + file.size), "buffer") : undefined,
        );
      }
    }
    this.#members = [];
    this.#files = [];
    const chunk = this.#block.subarray(0, this.#used);
    this.#used = 0;
    if (chunk.length > 0) yield chunk;
  }

  /** A file that is passed through in chunks of its own. Its header is the last thing in the block. */
  *#large(entry: TarEntry): Generator<Buffer, void> {
    const member = this.#members.pop();
    yield* this.#flush();
    const digest: Hash | undefined = this.#content === undefined ? undefined : createHash("sha256");
    const flags = O_RDONLY | O_NOFOLLOW;
    const fd = openQuietly(this.#native, this.#dirfd, entry.path, flags);
    try {
      let left = entry.size;
      while (left > 0) {
        const got = readSync(fd, this.#block, 0, Math.min(left, CHUNK), null);
        if (got === 0) throw unreadable(entry.path, entry.size - left);
        left -= got;
        const chunk = this.#block.subarray(0, got);
        digest?.update(chunk);
        yield chunk;
      }
    } finally {
      this.#native.close(fd);
    }
    if (member !== undefined) this.#describe(member, digest?.digest());
    const padding = paddingOf(entry.size);
    this.#block.fill(0, 0, padding);
    this.#used = padding;
  }

  #describe({ entry, source }: Member, digest: Buffer | undefined): void {
    if (this.#content === undefined) return;
    const { mark, attributes } = source;
    const xattrs = attributes.size === 0 ? [] : [...attributes].filter(([key]) => countsXattr(key));
    this.#content.add({
      ...entry,
      type: mark ?? entry.type,
      digest,
      xattrs: xattrs.toSorted(([left], [right]) => Buffer.compare(encodeName(left), encodeName(right))),
    });
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
