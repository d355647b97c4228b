import type { LayerScan } from "../../ops/tree/tree-node.ts";

/** Numbers of 32 bits per stamp: device, inode, size, mtime and ctime, 64 bits each. */
const STAMP_WORDS = 10;
const DIGEST_BYTES = 32;
const MAGIC = 0x4b53_4931; // "KSI1"
const HEADER_WORDS = 4;

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
  readonly #rows = new Map<string, number>();
  #stamps = new Int32Array(0);
  #digests = new Uint8Array(0);
  #count = 0;
  #loaded = false;
  #dirty = false;

  constructor(storage: StatIndexStorage) {
    this.#storage = storage;
  }

  /** The digest of a file's content, as 64 hex digits, or `undefined` when it has to be read. */
  get(path: string, layer: LayerScan, row: number): string | undefined {
    this.#load();
    const known = this.#rows.get(path);
    if (known === undefined) return undefined;
    const stamp = stampColumns(layer);
    const at = known * STAMP_WORDS;
    for (let word = 0; word < STAMP_WORDS; word += 1) {
      if (this.#stamps[at + word] !== stamp(row, word)) return undefined;
    }
    const digest = this.#digests.subarray(known * DIGEST_BYTES, (known + 1) * DIGEST_BYTES);
    return Buffer.from(digest.buffer, digest.byteOffset, DIGEST_BYTES).toString("hex");
  }

  /** Notes a digest, unless the file was too young when it was scanned, at `scannedAtNs`, to be sure of it. */
  set(path: string, layer: LayerScan, row: number, digestHex: string, scannedAtNs: bigint): void {
    const { mtimeNs, ctimeNs } = layer.scan.columns;
    if (isRacy(mtimeNs[row] ?? 0n, ctimeNs[row] ?? 0n, scannedAtNs)) return;
    this.#load();
    const at = this.#rows.get(path) ?? this.#append(path);
    const stamp = stampColumns(layer);
    for (let word = 0; word < STAMP_WORDS; word += 1) this.#stamps[at * STAMP_WORDS + word] = stamp(row, word);
    this.#digests.set(Buffer.from(digestHex, "hex"), at * DIGEST_BYTES);
    this.#dirty = true;
  }

  /** Drops files that are no longer below a directory that was seen whole. */
  keepOnly(directory: string, exists: (path: string) => boolean): void {
    this.#load();
    for (const path of this.#rows.keys()) {
      if (!(directory === "" || path.startsWith(`${directory}/`)) || exists(path)) continue;
      this.#rows.delete(path);
      this.#dirty = true;
    }
  }

  /** Hands the index to its storage if anything in it has changed. */
  save(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#storage.save(this.#pack());
  }

  #append(path: string): number {
    const row = this.#count;
    if ((row + 1) * STAMP_WORDS > this.#stamps.length) {
      const room = Math.max(1024, row * 2);
      const stamps = new Int32Array(room * STAMP_WORDS);
      stamps.set(this.#stamps);
      const digests = new Uint8Array(room * DIGEST_BYTES);
      digests.set(this.#digests);
      this.#stamps = stamps;
      this.#digests = digests;
    }
    this.#count += 1;
    this.#rows.set(path, row);
    return row;
  }

  /** Header, stamps, digests, paths as UTF-16 with NULs between: what survives any file name and loads without parsing. */
  #pack(): Uint8Array {
    const paths = Buffer.from([...this.#rows.keys()].join("\0"), "utf16le");
    const count = this.#rows.size;
    const bytes = Buffer.alloc(HEADER_WORDS * 4 + count * (STAMP_WORDS * 4 + DIGEST_BYTES) + paths.length);
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, HEADER_WORDS + count * STAMP_WORDS);
    words.set([MAGIC, count, paths.length, 0]);
    let at = 0;
    const digestsAt = words.byteLength;
    for (const row of this.#rows.values()) {
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
    const paths = count === 0 ? [] : bytes.toString("utf16le", pathsAt).split("\0");
    if (paths.length !== count) return;
    const stampBytes = bytes.subarray(HEADER_WORDS * 4, digestsAt);
    this.#stamps = new Int32Array(new Uint8Array(stampBytes).buffer);
    this.#digests = new Uint8Array(bytes.subarray(digestsAt, pathsAt));
    this.#count = count;
    for (const [row, path] of paths.entries()) this.#rows.set(path, row);
  }
}

/** Exported for its tests. Whether a file may have changed after it was scanned without its times showing it. */
export function isRacy(mtimeNs: bigint, ctimeNs: bigint, scannedAtNs: bigint): boolean {
  const latest = mtimeNs > ctimeNs ? mtimeNs : ctimeNs;
  const isCoarse = mtimeNs % SECOND_NS === 0n && ctimeNs % SECOND_NS === 0n;
  return latest >= scannedAtNs - (isCoarse ? COARSE_TICK_NS : TICK_NS);
}

type StampColumns = (row: number, word: number) => number;

const views = new WeakMap<LayerScan, StampColumns>();

/** The stamp of a row as 32-bit numbers, straight from the scan's columns: comparing bigints would make millions of them. */
function stampColumns(layer: LayerScan): StampColumns {
  const known = views.get(layer);
  if (known !== undefined) return known;
  const { dev, ino, size, mtimeNs, ctimeNs } = layer.scan.columns;
  const columns = [dev, ino, size, mtimeNs, ctimeNs].map(
    (column) => new Int32Array(column.buffer, column.byteOffset, column.length * 2),
  );
  const made: StampColumns = (row, word) => columns[word >> 1]?.[row * 2 + (word & 1)] ?? 0;
  views.set(layer, made);
  return made;
}
