import { isAscii } from "node:buffer";
import type { Native } from "../../lib/native/native.ts";
import { encodeName } from "../../lib/native/names.ts";
import type { ScanColumns } from "../../lib/native/scan.ts";
import type { FileClock } from "./clocks.ts";
import type { LayerScan } from "../../lib/tree/tree-node.ts";

/** Number of 32-bit words per stamp: device, inode, size, mtime and ctime, 64 bits each. */
const STAMP_WORDS = 10;
const DIGEST_BYTES = 32;
/** Limit of unused rows that are kept: a build may look at a part of its context only. */
const SPARE_ROWS = 1000;
const MAGIC = 0x4b53_4932; // "KSI2"
const HEADER_WORDS = 4;
/** Position in the header of the index's creation time, in seconds since 1970. */
const SEEN_WORD = 3;

/**
 * Timestamps come from a clock that ticks at most every 10 ms (HZ=100): a file that changes right after it was read may
 * get the very same time. Twice that, for a clock that was read a little late.
 */
const TICK_NS = 20_000_000n;
/** File systems without fractions of a second tick every one or two seconds. */
const COARSE_TICK_NS = 2_000_000_000n;
const SECOND_NS = 1_000_000_000n;
/** Some servers report times in whole minutes. */
const MINUTE_NS = 60n * SECOND_NS;
/**
 * Flag in the last word of a device number: the row was read once while its file may still have changed within one
 * tick.
 */
const UNPROVEN = 1 << 31;
const DEVICE_WORD = 1;

export interface StatIndexStorage {
  load(): Uint8Array | undefined;
  save(bytes: Uint8Array): void;
}

/** The index's answer for some files. */
export interface Found {
  /** One number per file: negative where it has to be read, and then the argument of `set`. */
  readonly entries: Int32Array;
  /** 32 bytes for each known file. */
  readonly digests: Buffer;
}

/**
 * A memory of the digest of each file in one directory, keyed by lstat's answer, like git's index: while device, inode,
 * size, mtime and ctime are the same, the content is, and the file is not read again.
 *
 * That holds only for files that were older than one tick of the file system's clock when they were scanned: a younger
 * one ("racy") can change once more without a change of its times. Racy files are not remembered, so the next build
 * reads them again and remembers them then. The change time counts too, because no program can set it.
 *
 * A file server's times come from its own clock, which may be behind this one by any amount: there a file is known when
 * it was read twice, some seconds apart, with the same times. Whatever that clock's offset, it had advanced by then.
 *
 * Anything may be forgotten: an index that is missing, damaged, or overwritten by another build costs only time.
 *
 * It is stored as columns (header, stamps, digests, ends of paths, paths), which the addon searches in place.
 */
export class StatIndex {
  readonly #native: Pick<Native, "findKnown">;
  readonly #storage: StatIndexStorage;
  #stamps = new Int32Array(0);
  #digests = Buffer.alloc(0);
  /** Rows that this build has looked up or set: 1 each. */
  #used = new Uint8Array(0);
  /** Ends of the paths of loaded rows, which come first. */
  #pathEnds = new Uint32Array(0);
  #paths: Uint8Array = new Uint8Array(0);
  /** Paths of the rows after them. */
  readonly #added = new Map<string, number>();
  #count = 0;
  #loaded = false;
  #dirty = false;
  #keepsAll = false;
  readonly #clock: FileClock;
  /** Scan times of the loaded index and of this one. Nanoseconds since 1970. */
  #seenNs = 0n;
  #seesNs = 0n;

  constructor(native: Pick<Native, "findKnown">, storage: StatIndexStorage, clock: FileClock = "own") {
    this.#native = native;
    this.#storage = storage;
    this.#clock = clock;
  }

  /** Looks up rows of a scan. */
  find(layer: LayerScan, rows: Int32Array): Found {
    this.#load();
    const digests = Buffer.alloc(rows.length * DIGEST_BYTES);
    const known = {
      stamps: this.#stamps,
      digests: this.#digests,
      pathEnds: this.#pathEnds,
      paths: this.#paths,
      used: this.#used,
    };
    const entries = this.#native.findKnown(known, onDisk(layer), layer.base, rows, digests);
    if (this.#added.size > 0) this.#findAdded(layer, rows, { entries, digests });
    return { entries, digests };
  }

  /** Looks up files that were read for another part of this build. */
  #findAdded(layer: LayerScan, rows: Int32Array, { entries, digests }: Found): void {
    for (const [at, row] of rows.entries()) {
      const known = entries[at] === -1 ? this.#added.get(pathOf(layer, row)) : undefined;
      if (known === undefined) continue;
      const isSame = stampColumns(layer).every(
        (column, index) =>
          this.#stamps[known * STAMP_WORDS + 2 * index] === column[row * 2] &&
          this.#stamps[known * STAMP_WORDS + 2 * index + 1] === column[row * 2 + 1],
      );
      if (isSame) this.#digests.copy(digests, at * DIGEST_BYTES, known * DIGEST_BYTES, (known + 1) * DIGEST_BYTES);
      entries[at] = isSame ? known : -known - 2;
    }
  }

  /**
   * Adds a digest, unless the file was too young when it was scanned.
   * @param entry the answer of `find` for it
   */
  set(file: { readonly layer: LayerScan; readonly row: number; readonly entry: number }, digest: Uint8Array): void {
    const { layer, row, entry } = file;
    const mtimeNs = onDisk(layer).mtimeNs[row] ?? 0n;
    const ctimeNs = onDisk(layer).ctimeNs[row] ?? 0n;
    if (this.#clock === "settable") return;
    if (this.#clock === "own" && isRacy(mtimeNs, ctimeNs, layer.scannedAtNs)) return;
    const isProven = this.#clock === "own" || this.#wasSeen(layer, row, entry);
    if (layer.scannedAtNs > this.#seesNs) this.#seesNs = layer.scannedAtNs;
    const at = entry <= -2 ? -entry - 2 : this.#rowOf(pathOf(layer, row));
    let word = at * STAMP_WORDS;
    for (const column of stampColumns(layer)) {
      this.#stamps[word] = column[row * 2] ?? 0;
      this.#stamps[word + 1] = column[row * 2 + 1] ?? 0;
      word += 2;
    }
    const device = at * STAMP_WORDS + DEVICE_WORD;
    if (!isProven) this.#stamps[device] = (this.#stamps[device] ?? 0) | UNPROVEN;
    this.#digests.set(digest, at * DIGEST_BYTES);
    this.#used[at] = 1;
    this.#dirty = true;
  }

  /** Tells whether a file was read with these times before, longer ago than a tick of any clock involved. */
  #wasSeen(layer: LayerScan, row: number, entry: number): boolean {
    if (entry > -2) return false;
    const known = (-entry - 2) * STAMP_WORDS;
    const isSame = stampColumns(layer).every(
      (column, nth) =>
        this.#stamps[known + 2 * nth] === column[row * 2] &&
        this.#stamps[known + 2 * nth + 1] === ((column[row * 2 + 1] ?? 0) | (nth === 0 ? UNPROVEN : 0)),
    );
    const { mtimeNs, ctimeNs } = onDisk(layer);
    const isByMinute = (mtimeNs[row] ?? 0n) % MINUTE_NS === 0n && (ctimeNs[row] ?? 0n) % MINUTE_NS === 0n;
    return isSame && layer.scannedAtNs > this.#seenNs + (isByMinute ? MINUTE_NS : COARSE_TICK_NS);
  }

  /** Makes sure that a file is read at the next look-up. */
  forget(layer: LayerScan, row: number): void {
    const [entry = -1] = this.find(layer, Int32Array.of(row)).entries;
    if (entry === -1) return;
    const known = entry < 0 ? -entry - 2 : entry;
    this.#stamps.fill(0, known * STAMP_WORDS, (known + 1) * STAMP_WORDS);
    this.#dirty = true;
  }

  /** Keeps all rows: a build that recognises its files by one fingerprint does not look up single ones. */
  keepAll(): void {
    this.#keepsAll = true;
  }

  /** Writes the index to its storage if anything in it has changed. */
  save(): void {
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#storage.save(this.#pack());
  }

  /** Lists all rows, or only those of this build once the other rows, of deleted files, outnumber them. */
  #kept(): readonly number[] {
    const used = this.#used.reduce((count, flag) => count + flag, 0);
    const rows = Array.from({ length: this.#count }, (_, row) => row);
    return this.#keepsAll || this.#count <= 2 * used + SPARE_ROWS ? rows : rows.filter((row) => this.#used[row] === 1);
  }

  #rowOf(path: string): number {
    const known = this.#added.get(path);
    if (known !== undefined) return known;
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
    this.#added.set(path, row);
    return row;
  }

  #pack(): Uint8Array {
    const rows = this.#kept();
    const { ends, paths } = this.#pathsOf(rows);
    const digestsAt = (HEADER_WORDS + rows.length * STAMP_WORDS) * 4;
    const endsAt = digestsAt + rows.length * DIGEST_BYTES;
    const bytes = Buffer.alloc(endsAt + ends.byteLength + paths.length);
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, digestsAt / 4);
    const seenNs = this.#seesNs > this.#seenNs ? this.#seesNs : this.#seenNs;
    // Rounded up: no scan may seem earlier than it was.
    words.set([MAGIC, rows.length, paths.length, Number(seenNs / SECOND_NS) + 1]);
    if (rows.length === this.#count) {
      words.set(this.#stamps.subarray(0, rows.length * STAMP_WORDS), HEADER_WORDS);
      bytes.set(this.#digests.subarray(0, rows.length * DIGEST_BYTES), digestsAt);
    } else {
      for (const [at, row] of rows.entries()) {
        const stamp = this.#stamps.subarray(row * STAMP_WORDS, (row + 1) * STAMP_WORDS);
        words.set(stamp, HEADER_WORDS + at * STAMP_WORDS);
        bytes.set(this.#digests.subarray(row * DIGEST_BYTES, (row + 1) * DIGEST_BYTES), digestsAt + at * DIGEST_BYTES);
      }
    }
    bytes.set(new Uint8Array(ends.buffer), endsAt);
    bytes.set(paths, endsAt + ends.byteLength);
    return bytes;
  }

  /** Encodes paths as bytes, with the end of each. */
  #pathsOf(rows: readonly number[]): { readonly ends: Uint32Array<ArrayBuffer>; readonly paths: Uint8Array } {
    const loaded = this.#pathEnds.length;
    const isWhole = rows.length === this.#count;
    const kept = isWhole ? [] : rows.filter((row) => row < loaded).map((row) => this.#loadedPath(row));
    const added = [...this.#added].flatMap(([path, row]) => (isWhole || this.#used[row] === 1 ? [path] : []));
    const joined = encodeName(added.join(""));
    const paths = Buffer.concat([...(isWhole ? [this.#paths] : kept), joined]);
    const ends = new Uint32Array(rows.length);
    if (isWhole) ends.set(this.#pathEnds);
    let at = isWhole ? loaded : kept.length;
    let end = isWhole ? this.#paths.length : 0;
    for (const [index, path] of kept.entries()) ends[index] = end += path.length;
    const areAscii = isAscii(joined);
    for (const path of added) ends[at++] = end += areAscii ? path.length : encodeName(path).length;
    return { ends, paths };
  }

  #loadedPath(row: number): Uint8Array {
    return this.#paths.subarray(row === 0 ? 0 : this.#pathEnds[row - 1], this.#pathEnds[row]);
  }

  #load(): void {
    if (this.#loaded) return;
    this.#loaded = true;
    const given = this.#storage.load();
    if (given === undefined || given.byteLength < HEADER_WORDS * 4) return;
    // Fresh memory, so that the words are aligned.
    const { buffer } = new Uint8Array(given);
    const [magic, count = -1, pathBytes = -1] = new Int32Array(buffer, 0, HEADER_WORDS);
    this.#seenNs = BigInt(new Uint32Array(buffer, 0, HEADER_WORDS)[SEEN_WORD] ?? 0) * SECOND_NS;
    const digestsAt = (HEADER_WORDS + count * STAMP_WORDS) * 4;
    const endsAt = digestsAt + count * DIGEST_BYTES;
    const pathsAt = endsAt + count * 4;
    if (magic !== MAGIC || count < 0 || pathBytes < 0 || pathsAt + pathBytes !== buffer.byteLength) return;
    const pathEnds = new Uint32Array(buffer, endsAt, count);
    // The addon refuses inconsistent columns, and that would fail the build.
    if (pathEnds.some((end, row) => end < (pathEnds[row - 1] ?? 0) || end > pathBytes)) return;
    this.#stamps = new Int32Array(buffer, HEADER_WORDS * 4, count * STAMP_WORDS);
    this.#digests = Buffer.from(buffer, digestsAt, count * DIGEST_BYTES);
    this.#pathEnds = pathEnds;
    this.#paths = new Uint8Array(buffer, pathsAt, pathBytes);
    this.#used = new Uint8Array(count);
    this.#count = count;
  }
}

/** Tells whether a file may have changed after it was scanned without a change of its times. Exported for its tests. */
export function isRacy(mtimeNs: bigint, ctimeNs: bigint, scannedAtNs: bigint): boolean {
  const latest = mtimeNs > ctimeNs ? mtimeNs : ctimeNs;
  const isCoarse = mtimeNs % SECOND_NS === 0n && ctimeNs % SECOND_NS === 0n;
  return latest >= scannedAtNs - (isCoarse ? COARSE_TICK_NS : TICK_NS);
}

/** Returns the files' own stamps, whatever the tree shows. */
function onDisk({ onDisk: own, scan }: LayerScan): ScanColumns {
  return own ?? scan.columns;
}

function pathOf({ scan, base }: LayerScan, row: number): string {
  return base === "" ? scan.path(row) : `${base}/${scan.path(row)}`;
}

const views = new WeakMap<LayerScan, readonly Int32Array[]>();

/**
 * Returns the stamp's columns as pairs of 32-bit numbers, straight from the scan: comparing bigints would allocate
 * millions of them.
 */
function stampColumns(layer: LayerScan): readonly Int32Array[] {
  const known = views.get(layer);
  if (known !== undefined) return known;
  const { dev, ino, size, mtimeNs, ctimeNs } = onDisk(layer);
  const made = [dev, ino, size, mtimeNs, ctimeNs].map(
    (column) => new Int32Array(column.buffer, column.byteOffset, column.length * 2),
  );
  views.set(layer, made);
  return made;
}
