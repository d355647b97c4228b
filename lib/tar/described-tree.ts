import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../native/constants.ts";
import { encodeName } from "../native/names.ts";
import type { ScanColumns, TreeScan } from "../native/scan.ts";

/** A described file's metadata, besides name, type and size. */
export interface DescribedMetadata {
  /** Permissions with the setuid, setgid and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
}

/**
 * The columns of a scan, made without a scan: no attributes, and one name for each file. Rows are added in the order of
 * a scan: a directory before its content, names in byte order.
 */
export class DescribedTree {
  readonly #mtimeNs: BigInt64Array<ArrayBuffer>;
  readonly #times: Int32Array<ArrayBuffer>;
  readonly #size: Float64Array<ArrayBuffer>;
  readonly #mode: Uint32Array<ArrayBuffer>;
  readonly #uid: Uint32Array<ArrayBuffer>;
  readonly #gid: Uint32Array<ArrayBuffer>;
  readonly #parent: Int32Array<ArrayBuffer>;
  readonly #nameEnd: Uint32Array<ArrayBuffer>;
  readonly #linkEnd: Uint32Array<ArrayBuffer>;
  readonly #links: Buffer[] = [];
  /** Times of the scan that rows come from. */
  #scannedTimes: { readonly of: BigInt64Array; readonly halves: Int32Array } | undefined;
  #names: Buffer;
  #linkBytes = 0;
  #count = 0;

  /** @param room maximum number of added rows, besides the root */
  constructor(room: number) {
    const rows = room + 1;
    this.#mtimeNs = new BigInt64Array(rows);
    this.#times = new Int32Array(this.#mtimeNs.buffer);
    this.#size = new Float64Array(rows);
    this.#mode = new Uint32Array(rows);
    this.#uid = new Uint32Array(rows);
    this.#gid = new Uint32Array(rows);
    this.#parent = new Int32Array(rows).fill(-1, 0, 1);
    this.#nameEnd = new Uint32Array(rows);
    this.#linkEnd = new Uint32Array(rows);
    this.#names = Buffer.allocUnsafe(rows * 16);
    this.#mode[0] = S_IFDIR | 0o755;
    this.#count = 1;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Adds a directory.
   * @param parent row of its parent; the root is row 0
   * @returns its row
   */
  addDirectory(parent: number, name: string, { mode, uid, gid, mtimeNs }: DescribedMetadata): number {
    const row = this.#add(parent, S_IFDIR | (mode & 0o7777), uid, gid);
    this.#mtimeNs[row] = mtimeNs;
    const bytes = encodeName(name);
    const at = this.#roomFor(row, bytes.length);
    this.#names.set(bytes, at);
    return row;
  }

  /**
   * Adds a file, directory or symlink of a scan under its own name.
   * @param metadata replaces that of the scan; without it only permissions and time are kept, and the owner is root
   */
  addScanned(parent: number, { columns }: TreeScan, from: number, metadata: DescribedMetadata | undefined): number {
    const scanned = columns.mode[from] ?? 0;
    const type = scanned & S_IFMT;
    const bits = type === S_IFLNK ? 0o777 : (metadata?.mode ?? scanned) & 0o7777;
    const row = this.#add(parent, type | bits, metadata?.uid ?? 0, metadata?.gid ?? 0);
    if (metadata === undefined) {
      // By halves: as bigints they would be ten thousand objects.
      const times = this.#scannedTimes?.of === columns.mtimeNs ? this.#scannedTimes.halves : this.#halvesOf(columns);
      this.#times[row * 2] = times[from * 2] ?? 0;
      this.#times[row * 2 + 1] = times[from * 2 + 1] ?? 0;
    } else this.#mtimeNs[row] = metadata.mtimeNs;
    if (type === S_IFREG) this.#size[row] = columns.size[from] ?? 0;
    const start = columns.nameEnd[from - 1] ?? 0;
    const end = columns.nameEnd[from] ?? 0;
    const at = this.#roomFor(row, end - start);
    columns.names.copy(this.#names, at, start, end);
    if (type === S_IFLNK) {
      const target = columns.links.subarray(columns.linkEnd[from - 1] ?? 0, columns.linkEnd[from]);
      this.#links.push(target);
      this.#linkBytes += target.length;
      this.#linkEnd[row] = this.#linkBytes;
    }
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

  #halvesOf({ mtimeNs }: ScanColumns): Int32Array {
    const halves = new Int32Array(mtimeNs.buffer, mtimeNs.byteOffset, mtimeNs.length * 2);
    this.#scannedTimes = { of: mtimeNs, halves };
    return halves;
  }

  #add(parent: number, mode: number, uid: number, gid: number): number {
    const row = this.#count;
    this.#count += 1;
    this.#mode[row] = mode;
    this.#uid[row] = uid;
    this.#gid[row] = gid;
    this.#parent[row] = parent;
    this.#linkEnd[row] = this.#linkBytes;
    return row;
  }

  /** Makes room for the name of a row. */
  #roomFor(row: number, length: number): number {
    const at = this.#nameEnd[row - 1] ?? 0;
    const end = at + length;
    if (end > this.#names.length) {
      const grown = Buffer.allocUnsafe(2 * end);
      this.#names.copy(grown, 0, 0, at);
      this.#names = grown;
    }
    this.#nameEnd[row] = end;
    return at;
  }
}
