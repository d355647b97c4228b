import { isAscii } from "node:buffer";
import { decodeName } from "./names.ts";

/** The addon's columns: one array per property, one item per entry. */
export interface ScanColumns {
  readonly mtimeNs: BigInt64Array;
  readonly ctimeNs: BigInt64Array;
  readonly ino: BigUint64Array;
  readonly size: Float64Array;
  readonly dev: Float64Array;
  /** Bytes on disk. */
  readonly diskBytes: Float64Array;
  /** Type and permissions, as in `st_mode`. */
  readonly mode: Uint32Array;
  readonly uid: Uint32Array;
  readonly gid: Uint32Array;
  readonly nlink: Uint32Array;
  readonly rdevMajor: Uint32Array;
  readonly rdevMinor: Uint32Array;
  /** Index of an entry's directory; -1 for the root. */
  readonly parent: Int32Array;
  readonly nameEnd: Uint32Array;
  readonly linkEnd: Uint32Array;
  readonly flags: Uint8Array;
  /** All names, one after the other. */
  readonly names: Buffer;
  readonly links: Buffer;
}

const HAS_XATTRS = 1;

/**
 * A file tree as it was during one scan: entry 0 is the root itself (its name and path are empty), every directory
 * comes before what it holds, and names are in byte order within each directory. That is the order of a layer's tar.
 */
export class TreeScan {
  readonly columns: ScanColumns;
  readonly #paths: (string | undefined)[] = [];
  /** All names as one string where they are ASCII: cutting it up is much cheaper than decoding each name. */
  #text: string | undefined;

  constructor(columns: ScanColumns) {
    this.columns = columns;
    // Columns that crossed to another thread arrive as plain arrays; their toString ignores encodings.
    const { buffer, byteOffset, byteLength } = columns.names;
    if (isAscii(columns.names)) this.#text = Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
  }

  get count(): number {
    return this.columns.parent.length;
  }

  /** Returns the entry's own name; see `decodeName` for those that are not UTF-8. */
  name(index: number): string {
    const { nameEnd, names } = this.columns;
    const start = index === 0 ? 0 : nameEnd[index - 1];
    if (this.#text !== undefined) return this.#text.slice(start, nameEnd[index]);
    return decodeName(names.subarray(start, nameEnd[index]));
  }

  /** Returns the path relative to the root, with `/` between names and none at the ends. */
  path(index: number): string {
    const known = this.#paths[index];
    if (known !== undefined) return known;
    const parent = this.columns.parent[index] ?? -1;
    const path = parent <= 0 ? this.name(index) : `${this.path(parent)}/${this.name(index)}`;
    this.#paths[index] = path;
    return path;
  }

  /** Returns the target of a symlink, if the scan included targets; otherwise empty. */
  linkTarget(index: number): string {
    const { linkEnd, links } = this.columns;
    return decodeName(links.subarray(index === 0 ? 0 : linkEnd[index - 1], linkEnd[index]));
  }

  /** Tells whether the entry has any extended attribute, if the scan included them. */
  hasXattrs(index: number): boolean {
    return ((this.columns.flags[index] ?? 0) & HAS_XATTRS) !== 0;
  }
}
