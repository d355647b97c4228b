import { encodeName } from "../native/names.ts";
import type { ScanColumns } from "../native/scan.ts";

/** What a layer says of one file. */
export interface DescribedFile {
  /** Row of its directory; the root is row 0. */
  readonly parent: number;
  readonly name: string | Uint8Array;
  /** Type and permissions, as in `st_mode`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a regular file. */
  readonly size: number;
  readonly mtimeNs: bigint;
  /** Of a symlink. */
  readonly target: string;
}

/**
 * The columns that a scan of a tree would give that nobody has made: no attributes, and one name for each file. Rows are
 * added in the order of a scan: a directory before what it holds, names in byte order.
 */
export class DescribedTree {
  readonly #mtimeNs: BigInt64Array<ArrayBuffer>;
  readonly #size: Float64Array<ArrayBuffer>;
  readonly #mode: Uint32Array<ArrayBuffer>;
  readonly #uid: Uint32Array<ArrayBuffer>;
  readonly #gid: Uint32Array<ArrayBuffer>;
  readonly #parent: Int32Array<ArrayBuffer>;
  readonly #nameEnd: Uint32Array<ArrayBuffer>;
  readonly #linkEnd: Uint32Array<ArrayBuffer>;
  readonly #links: Buffer[] = [];
  #names: Buffer;
  #linkBytes = 0;
  #count = 0;

  /** @param room how many rows will be added at most. The root is there already. */
  constructor(room: number) {
    const rows = room + 1;
    this.#mtimeNs = new BigInt64Array(rows);
    this.#size = new Float64Array(rows);
    this.#mode = new Uint32Array(rows);
    this.#uid = new Uint32Array(rows);
    this.#gid = new Uint32Array(rows);
    this.#parent = new Int32Array(rows).fill(-1, 0, 1);
    this.#nameEnd = new Uint32Array(rows);
    this.#linkEnd = new Uint32Array(rows);
    this.#names = Buffer.allocUnsafe(rows * 16);
    this.#mode[0] = 0o40755;
    this.#count = 1;
  }

  get count(): number {
    return this.#count;
  }

  /** @returns its row. */
  add(file: DescribedFile): number {
    const row = this.#count;
    this.#count += 1;
    this.#mtimeNs[row] = file.mtimeNs;
    this.#size[row] = file.size;
    this.#mode[row] = file.mode;
    this.#uid[row] = file.uid;
    this.#gid[row] = file.gid;
    this.#parent[row] = file.parent;
    this.#nameEnd[row] = this.#addName(typeof file.name === "string" ? encodeName(file.name) : file.name, row);
    if (file.target !== "") this.#linkBytes += this.#links[this.#links.push(encodeName(file.target)) - 1]?.length ?? 0;
    this.#linkEnd[row] = this.#linkBytes;
    return row;
  }

  columns(): ScanColumns {
    const count = this.#count;
    const numbers = new Uint32Array(count);
    const wide = new Float64Array(count);
    return {
      mtimeNs: this.#mtimeNs.subarray(0, count),
      ctimeNs: new BigInt64Array(count),
      ino: new BigUint64Array(count),
      size: this.#size.subarray(0, count),
      dev: wide,
      diskBytes: wide,
      mode: this.#mode.subarray(0, count),
      uid: this.#uid.subarray(0, count),
      gid: this.#gid.subarray(0, count),
      nlink: numbers,
      rdevMajor: numbers,
      rdevMinor: numbers,
      parent: this.#parent.subarray(0, count),
      nameEnd: this.#nameEnd.subarray(0, count),
      linkEnd: this.#linkEnd.subarray(0, count),
      flags: new Uint8Array(count),
      names: this.#names.subarray(0, this.#nameEnd[count - 1]),
      links: Buffer.concat(this.#links),
    };
  }

  #addName(name: Uint8Array, row: number): number {
    const at = this.#nameEnd[row - 1] ?? 0;
    const end = at + name.length;
    if (end > this.#names.length) {
      const grown = Buffer.allocUnsafe(2 * end);
      this.#names.copy(grown, 0, 0, at);
      this.#names = grown;
    }
    this.#names.set(name, at);
    return end;
  }
}
