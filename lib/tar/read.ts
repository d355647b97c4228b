import { BuildError } from "../core/errors.ts";
import { decodeName, encodeName } from "../native/names.ts";
import { BLOCK, type EntryType, NO_XATTRS, paddingOf, type TarEntry } from "./entry.ts";
import { entryTypeOf, isZeroBlock, malformed, parseHeader, type RawHeader } from "./header-read.ts";
import { parsePax, parsePaxNumber, parsePaxTime, type PaxRecords } from "./pax.ts";
import {
  known,
  type OldSparse,
  oldSparseExtension,
  oldSparseHeader,
  sparseByPax,
  SparseMapText,
  type SparseLayout,
} from "./sparse.ts";

/** A part of a tar: an entry, its content in order, then `end`. Chunks are views of the input. */
export type TarEvent =
  | { readonly kind: "entry"; readonly entry: TarEntry }
  | { readonly kind: "data"; readonly bytes: Buffer }
  /** Zeros of a sparse file. */
  | { readonly kind: "hole"; readonly sizeBytes: number }
  | { readonly kind: "end" };

/** Extended headers hold names and attributes; attributes are at most 64 KiB each by the kernel's own limit. */
const MAX_EXTENDED_BYTES = 8 << 20;
const XATTR = "SCHILY.xattr.";
const OLD_XATTR = "LIBARCHIVE.xattr.";

/** Type flags of POSIX pax (`X`: Solaris' own letter for them) and GNU's long names. */
const EXTENDED = "xXgLK";

/**
 * Type flags of members outside the tree: GNU's volume labels and lists of renamed files, Solaris' access control lists
 * and named attributes, star's inodes without content. Any other unknown type would be a missing part of the tree.
 */
const HARMLESS = "VNAEI";

type State =
  | { readonly kind: "header" }
  | { readonly kind: "extended"; readonly header: RawHeader; readonly parts: Buffer[]; left: number }
  | { readonly kind: "sparse-header"; readonly header: RawHeader; sparse: OldSparse }
  | {
      readonly kind: "sparse-map";
      readonly realSize: number;
      readonly map: SparseMapText;
      left: number;
      readonly entry: Omit<TarEntry, "size">;
    }
  | {
      readonly kind: "content";
      readonly runs: readonly { readonly skip: number; readonly length: number }[];
      readonly tailHole: number;
      run: number;
      left: number;
      readonly trailing: number;
    }
  | { readonly kind: "skip"; left: number; readonly isPadding: boolean }
  /** The state after one block of zeros. */
  | { readonly kind: "closing" }
  | { readonly kind: "done" };

/**
 * A reader of tars in any dialect (v7, ustar, PAX, GNU with long names, base-256 numbers and sparse files), as chunks
 * arrive. Memory: one block and one extended header. Damage is an `archive/malformed` error, never a guess.
 */
export class TarReader {
  #state: State = { kind: "header" };
  #rest: Buffer = Buffer.alloc(0);
  #records = new Map<string, Buffer>();
  #repeated: [string, Buffer][] = [];
  #longPath: string | undefined;
  #longLink: string | undefined;

  /** Yields all events of the bytes so far. Take every event before the next call. */
  *push(chunk: Buffer): Generator<TarEvent, void> {
    let input = chunk;
    if (this.#rest.length > 0) {
      input = Buffer.concat([this.#rest, chunk]);
      this.#rest = Buffer.alloc(0);
    }
    let at = 0;
    for (;;) {
      const state = this.#state;
      if (state.kind === "done") return;
      if (
        state.kind === "header" ||
        state.kind === "closing" ||
        state.kind === "sparse-header" ||
        state.kind === "sparse-map"
      ) {
        if (input.length - at < BLOCK) {
          this.#rest = Buffer.from(input.subarray(at));
          return;
        }
        const block = input.subarray(at, at + BLOCK);
        at += BLOCK;
        if (state.kind === "header") yield* this.#header(block);
        else if (state.kind === "closing") this.#closing(block);
        else if (state.kind === "sparse-header") yield* this.#sparseHeader(state, block);
        else yield* this.#sparseMap(state, block);
        continue;
      }
      if (at >= input.length) return;
      const taken = Math.min(input.length - at, state.left);
      const bytes = input.subarray(at, at + taken);
      at += taken;
      if (state.kind === "content") yield* this.#content(state, bytes);
      else if (state.kind === "extended") this.#extended(state, bytes);
      else {
        state.left -= taken;
        if (state.left === 0) this.#state = { kind: "header" };
      }
    }
  }

  /** True once the archive's end has been read: later bytes are not part of it. */
  get isDone(): boolean {
    return this.#state.kind === "done";
  }

  /**
   * Ends the input.
   * @throws {BuildError} `archive/malformed` when it stopped in the middle of something
   */
  finish(): void {
    const { kind } = this.#state;
    if (kind === "done" || kind === "closing") return;
    // Every tar accepts an archive without the closing zero blocks, or without the last member's padding.
    if (kind === "header" && this.#rest.length === 0) return;
    if (this.#state.kind === "skip" && this.#state.isPadding) return;
    throw malformed("it ends in the middle of a member");
  }

  *#header(block: Buffer): Generator<TarEvent, void> {
    if (isZeroBlock(block)) {
      this.#state = { kind: "closing" };
      return;
    }
    const header = parseHeader(block);
    if (header.size < 0) throw malformed("a member has a negative size");
    if (EXTENDED.includes(header.typeFlag)) {
      if (header.size > MAX_EXTENDED_BYTES) throw malformed("an extended header is too long");
      this.#state = { kind: "extended", header, parts: [], left: header.size + paddingOf(header.size) };
      if (header.size === 0) this.#state = { kind: "header" };
      return;
    }
    if (header.typeFlag === "S") {
      const sparse = oldSparseHeader(block);
      this.#state = { kind: "sparse-header", header, sparse };
      if (!sparse.hasMore) yield* this.#oldSparse(header, sparse);
      return;
    }
    yield* this.#member(header, undefined);
  }

  /** Ends with a second block of zeros. Members may follow a lone one, and would be lost silently. */
  #closing(block: Buffer): void {
    if (!isZeroBlock(block)) throw malformed("one block of zeros, of the two that end it, stands in its middle");
    this.#state = { kind: "done" };
  }

  #extended(state: State & { kind: "extended" }, bytes: Buffer): void {
    // Copied, because the caller may reuse the chunk.
    state.parts.push(Buffer.from(bytes));
    state.left -= bytes.length;
    if (state.left > 0) return;
    this.#state = { kind: "header" };
    const data = Buffer.concat(state.parts).subarray(0, state.header.size);
    const upToNul = (): string => decodeName(data.subarray(0, data.includes(0) ? data.indexOf(0) : data.length));
    if (state.header.typeFlag === "L") this.#longPath = upToNul();
    else if (state.header.typeFlag === "K") this.#longLink = upToNul();
    else if (state.header.typeFlag === "g") {
      // Defaults for all members. Go's reader, the usual one for images and archives of ADD, has never applied them.
      parsePax(data);
    } else {
      this.#repeated = parsePax(data);
      for (const [key, value] of this.#repeated) this.#records.set(key, value);
    }
  }

  *#sparseHeader(state: State & { kind: "sparse-header" }, block: Buffer): Generator<TarEvent, void> {
    state.sparse = oldSparseExtension(block, state.sparse);
    if (!state.sparse.hasMore) yield* this.#oldSparse(state.header, state.sparse);
  }

  *#oldSparse(header: RawHeader, sparse: OldSparse): Generator<TarEvent, void> {
    yield* this.#member(header, known(sparse.realSize, sparse.numbers));
  }

  /** Applies the extended headers and starts the member's content. */
  *#member(header: RawHeader, oldSparse: SparseLayout | undefined): Generator<TarEvent, void> {
    const records: PaxRecords = this.#records;
    const sparse = oldSparse ?? (records.size === 0 ? undefined : sparseByPax(records, this.#repeated));
    const longPath = this.#longPath;
    const longLink = this.#longLink;
    this.#records = new Map();
    this.#repeated = [];
    this.#longPath = undefined;
    this.#longLink = undefined;

    const sizeRecord = records.get("size");
    const storedSize = sizeRecord === undefined || oldSparse !== undefined ? header.size : parsePaxNumber(sizeRecord);
    if (storedSize < 0) throw malformed("a member has a negative size");
    const path = nameRecord(records, "GNU.sparse.name") ?? nameRecord(records, "path") ?? longPath ?? header.path;
    const type = header.typeFlag === "S" ? "file" : entryTypeOf(header.typeFlag);
    if (type === undefined) {
      if (!HARMLESS.includes(header.typeFlag)) throw unknownKind(path, header.typeFlag);
      this.#skip(storedSize, paddingOf(storedSize));
      return;
    }
    // Before ustar a directory was a file with a slash at the end of its name.
    const isDirectory = type === "directory" || (type === "file" && storedSize === 0 && path.endsWith("/"));
    const entry = describe(header, records, isDirectory ? "directory" : type, path, longLink);
    if (entry.type !== "file") {
      yield { kind: "entry", entry: { ...entry, size: 0 } };
      yield { kind: "end" };
      if (header.typeFlag === "D") {
        // The names of its content at the time of the dump.
        this.#skip(storedSize, paddingOf(storedSize));
        return;
      }
      // Links, directories and devices have no content, whatever their size field says (as for Go's and GNU's readers).
      this.#skip(0, 0);
      return;
    }
    if (sparse === undefined) {
      yield { kind: "entry", entry: { ...entry, size: storedSize } };
      yield* this.#begin(storedSize === 0 ? [] : [{ skip: 0, length: storedSize }], 0, paddingOf(storedSize));
      return;
    }
    if (sparse.kind === "map-in-data") {
      this.#state = {
        kind: "sparse-map",
        realSize: sparse.realSize,
        map: new SparseMapText(),
        left: storedSize + paddingOf(storedSize),
        entry,
      };
      return;
    }
    yield* this.#sparseContent(entry, sparse, storedSize);
  }

  *#sparseMap(state: State & { kind: "sparse-map" }, block: Buffer): Generator<TarEvent, void> {
    state.left -= BLOCK;
    const numbers = state.map.add(block);
    if (numbers === undefined) {
      if (state.left < BLOCK) throw malformed("a sparse file has a broken map");
      return;
    }
    const layout = known(state.realSize, numbers);
    if (layout.kind === "known") yield* this.#sparseContent(state.entry, layout, state.left);
  }

  *#sparseContent(
    entry: Omit<TarEntry, "size">,
    layout: SparseLayout & { kind: "known" },
    storedSize: number,
  ): Generator<TarEvent, void> {
    let end = 0;
    let stored = 0;
    const runs = layout.runs.map(({ offset, length }) => {
      const skip = offset - end;
      end = offset + length;
      stored += length;
      return { skip, length };
    });
    if (storedSize + paddingOf(storedSize) < stored) throw malformed("a sparse file's map goes beyond its content");
    yield { kind: "entry", entry: { ...entry, size: layout.realSize } };
    yield* this.#begin(runs, layout.realSize - end, storedSize + paddingOf(storedSize) - stored);
  }

  *#begin(
    runs: readonly { readonly skip: number; readonly length: number }[],
    tailHole: number,
    trailing: number,
  ): Generator<TarEvent, void> {
    const first = runs[0];
    if (first === undefined) {
      if (tailHole > 0) yield { kind: "hole", sizeBytes: tailHole };
      yield { kind: "end" };
      this.#skip(0, trailing);
      return;
    }
    if (first.skip > 0) yield { kind: "hole", sizeBytes: first.skip };
    this.#state = { kind: "content", runs, tailHole, run: 0, left: first.length, trailing };
  }

  *#content(state: State & { kind: "content" }, bytes: Buffer): Generator<TarEvent, void> {
    yield { kind: "data", bytes };
    state.left -= bytes.length;
    if (state.left > 0) return;
    state.run += 1;
    const next = state.runs[state.run];
    if (next !== undefined) {
      if (next.skip > 0) yield { kind: "hole", sizeBytes: next.skip };
      state.left = next.length;
      return;
    }
    if (state.tailHole > 0) yield { kind: "hole", sizeBytes: state.tailHole };
    yield { kind: "end" };
    this.#skip(0, state.trailing);
  }

  #skip(content: number, padding: number): void {
    const left = content + padding;
    this.#state = left === 0 ? { kind: "header" } : { kind: "skip", left, isPadding: content === 0 };
  }
}

function describe(
  header: RawHeader,
  records: PaxRecords,
  type: EntryType,
  path: string,
  longLink: string | undefined,
): Omit<TarEntry, "size"> {
  const uid = records.get("uid");
  const gid = records.get("gid");
  const mtime = records.get("mtime");
  return {
    path: path.replace(/\/+$/, ""),
    type,
    mode: header.mode & 0o7777,
    uid: checkedId(uid === undefined ? header.uid : parsePaxNumber(uid)),
    gid: checkedId(gid === undefined ? header.gid : parsePaxNumber(gid)),
    mtimeNs: mtime === undefined ? BigInt(header.mtimeSeconds) * 1_000_000_000n : parsePaxTime(mtime),
    linkName:
      type === "link" || type === "symlink" ? (nameRecord(records, "linkpath") ?? longLink ?? header.linkName) : "",
    deviceMajor: header.deviceMajor,
    deviceMinor: header.deviceMinor,
    xattrs: records.size === 0 ? NO_XATTRS : attributes(records),
  };
}

function unknownKind(path: string, typeFlag: string): BuildError {
  const what =
    typeFlag === "M" ? "the rest of a file from another volume" : `of the unknown type ${JSON.stringify(typeFlag)}`;
  return new BuildError("archive/unsupported", `Cannot unpack ${JSON.stringify(path.toWellFormed())}: it is ${what}`);
}

function nameRecord(records: PaxRecords, key: string): string | undefined {
  const value = records.get(key);
  // An empty value cancels an earlier record, POSIX pax.
  return value === undefined || value.length === 0 ? undefined : decodeName(value);
}

function attributes(records: PaxRecords): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const [key, value] of records) {
    if (key.startsWith(XATTR)) found.set(key.slice(XATTR.length), value);
    else if (key.startsWith(OLD_XATTR)) {
      const name = percentDecoded(key.slice(OLD_XATTR.length));
      if (!found.has(name)) found.set(name, Buffer.from(value.toString("latin1"), "base64"));
    }
  }
  return found;
}

/** Decodes bytes as `%XX`; malformed escapes stand for themselves, as for libarchive. */
function percentDecoded(text: string): string {
  if (!text.includes("%")) return text;
  const bytes = encodeName(text).toString("latin1");
  const decoded = bytes.replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return decodeName(Buffer.from(decoded, "latin1"));
}

/**
 * Checks an id. -1 would tell the kernel to leave the owner alone, and of larger numbers it takes the lower 32 bits:
 * 2^32 would be root.
 */
function checkedId(id: number): number {
  if (id >= 0 && id < 0xffffffff) return id;
  throw new BuildError("archive/unsupported", `Cannot unpack the archive: a member's owner, ${id}, is out of range`);
}
