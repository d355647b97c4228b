import type { LayerScan } from "../../ops/tree/tree-node.ts";

/** Numbers of 32 bits per stamp: device, inode, size, mtime and ctime, 64 bits each. */
const STAMP_WORDS = 10;
const DIGEST_BYTES = 32;
/** Rows of other files that are kept without asking: a build may look at a part of its context only. */
const SPARE_ROWS = 1000;
const MAGIC = 0x4b53_4931; // "KSI1"
const HEADER_WORDS = 4;
/** How the paths are written. */
const UTF8 = 0;
const UTF16 = 1;

/**
 * Timestamps come from a clock that ticks at most every 10 ms (HZ=100): a file that changes right after it was read may get
 * the very time it had. Twice that, for a clock read a little late.
 */
const TICK_NS = 20_000_000n;
/** File systems without fractions of a second tick every one or two seconds. */
const COARSE_TICK_NS = 2_000_000_000n;
const SECOND_NS = 1_000_000_000n;

export interface StatIndexStorage {
  load(): Uint8Array | undefined;
  save(bytes: Uint8Array): void;
}

/**
 * Remembers the digest of each file of one directory under what lstat says of it, as git's index does: while device, inode,
 * size, mtime and ctime are the same, the content is, and it is not read again.
 *
 * That holds only for files that were already older than one tick of the file system's clock when they were looked at: a
 * younger one ("racy") can change once more without its times changing. Those are not remembered, so the next build
 * reads them again and remembers them then. The change time decides too, because nobody can set it.
 *
 * Anything may be forgotten: an index that is missing, damaged, or overwritten by another build costs only time.
 */
export class StatIndex {
  readonly #storage: StatIndexStorage;
  /** Paths of the loaded rows, in their order, which is that of a scan. */
  #loadedPaths: readonly string[] = [];
  /** Made when a path is asked for out of that order; an unchanged context never is. */
  #rows: Map<string, number> | undefined;
  #cursor = 0;
  /** Rows that this build has asked for or set: 1 each. */
  #used = new Uint8Array(0);
  #stamps = new Int32Array(0);
  #digests = Buffer.alloc(0);
  #count = 0;
  #loaded = false;
  #dirty = false;
  #keepsAll = false;

  constructor(storage: StatIndexStorage) {
    this.#storage = storage;
  }

  /** The digest of a file's content, as 64 hex digits, or `undefined` when it has to be read. */
  get(path: string, layer: LayerScan, row: number): string | undefined {
    this.#load();
    const known = this.#find(path);
    if (known === undefined) return undefined;
    const stamps = this.#stamps;
    let at = known * STAMP_WORDS;
    for (const column of stampColumns(layer)) {
      if (stamps[at] !== column[row * 2] || stamps[at + 1] !== column[row * 2 + 1]) return undefined;
      at += 2;
    }
    this.#used[known] = 1;
    return this.#digests.toString("hex", known * DIGEST_BYTES, (known + 1) * DIGEST_BYTES);
  }

  /** Notes a digest, unless the file was too young when it was scanned, at `scannedAtNs`, to be sure of it. */
  set(path: string, layer: LayerScan, row: number, digestHex: string, scannedAtNs: bigint): void {
    const { mtimeNs, ctimeNs } = layer.scan.columns;
    if (isRacy(mtimeNs[row] ?? 0n, ctimeNs[row] ?? 0n, scannedAtNs)) return;
    this.#load();
    const at = this.#map().get(path) ?? this.#append(path);
    let word = at * STAMP_WORDS;
    for (const column of stampColumns(layer)) {
      this.#stamps[word] = column[row * 2] ?? 0;
      this.#stamps[word + 1] = column[row * 2 + 1] ?? 0;
      word += 2;
    }
    this.#digests.write(digestHex, at * DIGEST_BYTES, "hex");
    this.#used[at] = 1;
    this.#dirty = true;
  }

  /** Of files that this build does not ask for, because it knows them all by one fingerprint, nothing is forgotten. */
  keepAll(): void {
    this.#keepsAll = true;
  }

  /** Hands the index to its storage if anything in it has changed. */
  save(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#storage.save(this.#pack());
  }

  /** All rows, or only those of this build once the others, of files long gone, outnumber them. */
  #kept(): ReadonlyMap<string, number> {
    const rows = this.#map();
    const used = this.#used.reduce((count, flag) => count + flag, 0);
    if (this.#keepsAll || rows.size <= 2 * used + SPARE_ROWS) return rows;
    return new Map([...rows].filter(([, row]) => this.#used[row] === 1));
  }

  #find(path: string): number | undefined {
    const next = this.#cursor;
    if (this.#rows === undefined && this.#loadedPaths[next] === path) {
      this.#cursor += 1;
      return next;
    }
    return this.#map().get(path);
  }

  #map(): Map<string, number> {
    this.#rows ??= new Map(this.#loadedPaths.map((path, row) => [path, row]));
    return this.#rows;
  }

  #append(path: string): number {
    const row = this.#count;
    if ((row + 1) * STAMP_WORDS > this.#stamps.length) {
      const room = Math.max(1024, row * 2);
      const stamps = new Int32Array(room * STAMP_WORDS);
      stamps.set(this.#stamps);
      const digests = Buffer.alloc(room * DIGEST_BYTES);
      digests.set(this.#digests);
      const used = new Uint8Array(room);
      used.set(this.#used);
      this.#stamps = stamps;
      this.#digests = digests;
      this.#used = used;
    }
    this.#count += 1;
    this.#map().set(path, row);
    return row;
  }

  /** Header, stamps, digests, paths with NULs between; as UTF-16 when there are names that UTF-8 cannot hold. */
  #pack(): Uint8Array {
    const rows = this.#kept();
    const text = [...rows.keys()].join("\0");
    const encoding = text.isWellFormed() ? UTF8 : UTF16;
    const paths = Buffer.from(text, encoding === UTF8 ? "utf8" : "utf16le");
    const count = rows.size;
    const bytes = Buffer.alloc(HEADER_WORDS * 4 + count * (STAMP_WORDS * 4 + DIGEST_BYTES) + paths.length);
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, HEADER_WORDS + count * STAMP_WORDS);
    words.set([MAGIC, count, paths.length, encoding]);
    let at = 0;
    const digestsAt = words.byteLength;
    for (const row of rows.values()) {
      words.set(this.#stamps.subarray(row * STAMP_WORDS, (row + 1) * STAMP_WORDS), HEADER_WORDS + at * STAMP_WORDS);
      bytes.set(this.#digests.subarray(row * DIGEST_BYTES, (row + 1) * DIGEST_BYTES), digestsAt + at * DIGEST_BYTES);
      at += 1;
    }
    bytes.set(paths, digestsAt + count * DIGEST_BYTES);
    return bytes;
  }

  #load(): void {
    if (this.#loaded) return;
    this.#loaded = true;
    const given = this.#storage.load();
    if (given === undefined || given.byteLength < HEADER_WORDS * 4) return;
    // A fresh buffer, so that the words are aligned.
    const bytes = Buffer.from(given);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const count = view.getInt32(4, true);
    const pathBytes = view.getInt32(8, true);
    const digestsAt = (HEADER_WORDS + count * STAMP_WORDS) * 4;
    const pathsAt = digestsAt + count * DIGEST_BYTES;
    if (view.getInt32(0, true) !== MAGIC || count < 0 || pathsAt + pathBytes !== bytes.length) return;
    const encoding = view.getInt32(12, true) === UTF8 ? "utf8" : "utf16le";
    const paths = count === 0 ? [] : bytes.toString(encoding, pathsAt).split("\0");
    if (paths.length !== count) return;
    this.#stamps = new Int32Array(new Uint8Array(bytes.subarray(HEADER_WORDS * 4, digestsAt)).buffer);
    this.#digests = bytes.subarray(digestsAt, pathsAt);
    this.#used = new Uint8Array(count);
    this.#count = count;
    this.#loadedPaths = paths;
  }
}

/** Exported for its tests. Whether a file may have changed after it was scanned without its times showing it. */
export function isRacy(mtimeNs: bigint, ctimeNs: bigint, scannedAtNs: bigint): boolean {
  const latest = mtimeNs > ctimeNs ? mtimeNs : ctimeNs;
  const isCoarse = mtimeNs % SECOND_NS === 0n && ctimeNs % SECOND_NS === 0n;
  return latest >= scannedAtNs - (isCoarse ? COARSE_TICK_NS : TICK_NS);
}

const views = new WeakMap<LayerScan, readonly Int32Array[]>();

/** What a stamp is made of as pairs of 32-bit numbers, straight from the scan: comparing bigints would make millions of them. */
function stampColumns(layer: LayerScan): readonly Int32Array[] {
  const known = views.get(layer);
  if (known !== undefined) return known;
  const { dev, ino, size, mtimeNs, ctimeNs } = layer.scan.columns;
  const made = [dev, ino, size, mtimeNs, ctimeNs].map(
    (column) => new Int32Array(column.buffer, column.byteOffset, column.length * 2),
  );
  views.set(layer, made);
  return made;
}
