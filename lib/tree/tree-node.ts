import { S_IFDIR, S_IFLNK, S_IFMT } from "../native/constants.ts";
import { compareNames } from "../native/names.ts";
import { type ScanColumns, TreeScan } from "../native/scan.ts";
import type { PatternMatcher, DirectoryMatch } from "../core/patterns/pattern-matcher.ts";
import type { Native, ScanOptions } from "../native/native.ts";
import { isDirectory, isOpaque, isWhiteout, type Marks } from "./overlay-marks.ts";
import type { Directory, MergedTree } from "./merged-tree.ts";
import { type ScanLinks, scanLinks } from "./scan-links.ts";

/**
 * One file of a scanned tree: a row of its scan's columns. Nothing is copied out of them, so ten thousand nodes cost
 * little more than their names.
 */
export class TreeNode {
  readonly name: string;
  readonly layer: LayerScan;
  readonly index: number;
  /** Children in byte order of name; empty for everything but directories. */
  readonly children: readonly TreeNode[];

  constructor(name: string, layer: LayerScan, index: number, children: readonly TreeNode[]) {
    this.name = name;
    this.layer = layer;
    this.index = index;
    this.children = children;
  }

  /** Returns type and permissions, as in `st_mode`. */
  get mode(): number {
    return this.layer.scan.columns.mode[this.index] ?? 0;
  }

  get type(): number {
    return this.mode & S_IFMT;
  }

  get isDirectory(): boolean {
    return isDirectory(this.mode);
  }

  get uid(): number {
    return this.layer.scan.columns.uid[this.index] ?? 0;
  }

  get gid(): number {
    return this.layer.scan.columns.gid[this.index] ?? 0;
  }

  get sizeBytes(): number {
    return this.layer.scan.columns.size[this.index] ?? 0;
  }

  get mtimeNs(): bigint {
    return this.layer.scan.columns.mtimeNs[this.index] ?? 0n;
  }

  get nlink(): number {
    return this.layer.scan.columns.nlink[this.index] ?? 1;
  }

  get device(): { readonly major: number; readonly minor: number } {
    const { rdevMajor, rdevMinor } = this.layer.scan.columns;
    return { major: rdevMajor[this.index] ?? 0, minor: rdevMinor[this.index] ?? 0 };
  }

  get linkTarget(): string {
    return this.layer.scan.linkTarget(this.index);
  }

  /** Returns the inode's key among all layers: two nodes with one key are hard links of each other. */
  get inode(): string {
    const { dev, ino } = this.layer.scan.columns;
    return `${dev[this.index] ?? 0}:${ino[this.index] ?? 0n}`;
  }

  get hasXattrs(): boolean {
    return this.layer.scan.hasXattrs(this.index);
  }

  /** Returns the path relative to the root of its layer, as `copyFiles` takes it. */
  get layerPath(): string {
    const below = this.layer.scan.path(this.index);
    if (this.layer.base === "") return below;
    return below === "" ? this.layer.base : `${this.layer.base}/${below}`;
  }
}

/** A scan of one directory of one layer. */
export interface LayerScan {
  /** The files as the tree shows them. */
  readonly scan: TreeScan;
  /** The files as the file system has them, by which they are recognised; absent where the tree shows them so. */
  readonly onDisk?: ScanColumns;
  /** Index of the layer in its tree. */
  readonly layer: number;
  /** Path of the scanned directory in the layer; the layer's root is empty. */
  readonly base: string;
  /** Real time just before the scan, nanoseconds since 1970. */
  readonly scannedAtNs: bigint;
}

export interface ScanTreeOptions {
  /** The real-time clock, nanoseconds since 1970. */
  readonly nowNs: () => bigint;
  readonly prune: Pick<ScanOptions, "prunePaths" | "pruneNames">;
  /** `one` reads only the directory itself, not its directories. */
  readonly depth: "all" | "one";
  /** Shows all files with this time, and modes without what a umask decides. */
  readonly uniform?: Uniform | undefined;
}

/** The metadata that all files of a tree have in common; see `uniformColumns`. */
export interface Uniform {
  readonly mtimeNs: bigint;
}

/**
 * Evens out what differs between two checkouts of the same files: every time is the given one, a file that its owner
 * may execute and a directory are 0755, anything else is 0644, and no two names are one file. Type, owner, content and
 * attributes stay.
 */
function uniformColumns(columns: ScanColumns, { mtimeNs }: Uniform): ScanColumns {
  return {
    ...columns,
    mtimeNs: new BigInt64Array(columns.mtimeNs.length).fill(mtimeNs),
    mode: columns.mode.map(uniformMode),
    nlink: columns.nlink.map((count, row) => (isDirectory(columns.mode[row] ?? 0) ? count : 1)),
  };
}

function uniformMode(mode: number): number {
  const type = mode & S_IFMT;
  if (type === S_IFLNK) return type | 0o777;
  return type | (type === S_IFDIR || (mode & 0o100) !== 0 ? 0o755 : 0o644);
}

/**
 * Scans all of a directory of a merged tree: one scan per layer that has a part in it, merged as in an overlay. Files
 * that the tree's ignore patterns exclude are not in the result, nor are directories that they leave empty.
 */
export async function scanDirectory(
  tree: MergedTree,
  directory: Directory,
  options: ScanTreeOptions,
  signal: AbortSignal,
): Promise<TreeNode> {
  return mergeScans(tree, directory, await scanLayers(tree, directory, options, signal), options.depth);
}

/** Makes the scans that `mergeScans` merges, topmost first. */
export async function scanLayers(
  tree: MergedTree,
  directory: Directory,
  options: ScanTreeOptions,
  signal: AbortSignal,
): Promise<readonly LayerScan[]> {
  const scans: LayerScan[] = [];
  for (const part of directory.parts) {
    signal.throwIfAborted();
    const scannedAtNs = options.nowNs();
    const scan = await tree.native.scanTree(tree.partFd(directory, part), {
      links: true,
      xattrs: true,
      ...(options.depth === "one" ? { maxDepth: 1 } : {}),
      ...options.prune,
    });
    const place = { layer: part.layer, base: directory.path, scannedAtNs };
    if (options.uniform === undefined) scans.push({ scan, ...place });
    else
      scans.push({ scan: new TreeScan(uniformColumns(scan.columns, options.uniform)), onDisk: scan.columns, ...place });
  }
  signal.throwIfAborted();
  return scans;
}

export function mergeScans(
  tree: MergedTree,
  directory: Directory,
  scans: readonly LayerScan[],
  depth: ScanTreeOptions["depth"],
): TreeNode {
  const merge = new Merge(tree, depth);
  const rows = scans.map((layer) => ({ layer, links: scanLinks(layer.scan), index: 0 }));
  return merge.directory("", directory.path, rows, directory.match);
}

const NOTHING: readonly TreeNode[] = [];

/** A row of one layer's scan. */
interface Row {
  readonly layer: LayerScan;
  readonly links: ScanLinks;
  readonly index: number;
}

class Merge {
  readonly #tree: MergedTree;
  readonly #native: Native;
  readonly #marks: Marks | undefined;
  readonly #excludes: PatternMatcher | undefined;
  readonly #depth: "all" | "one";

  constructor(tree: MergedTree, depth: "all" | "one") {
    this.#tree = tree;
    this.#native = tree.native;
    this.#marks = tree.marks;
    this.#excludes = tree.excludes;
    this.#depth = depth;
  }

  /** Makes the node of a directory. `rows` are its parts, topmost first. */
  directory(name: string, path: string, rows: readonly Row[], match: DirectoryMatch | undefined): TreeNode {
    const [top] = rows;
    if (top === undefined) throw new Error("A directory without parts");
    if (rows.length === 1) return this.#alone(name, path, top, match);
    const children: TreeNode[] = [];
    for (const [child, found] of this.#names(rows)) {
      const node = this.#node(child, path === "" ? child : `${path}/${child}`, found, match);
      if (node !== undefined) children.push(node);
    }
    return new TreeNode(name, top.layer, top.index, children);
  }

  /**
   * Makes the node of a directory with one part. All directories of a context are such, so this common case allocates
   * nothing but nodes.
   */
  #alone(name: string, path: string, row: Row, above: DirectoryMatch | undefined): TreeNode {
    const { layer, links, index } = row;
    const { mode } = layer.scan.columns;
    const excludes = above === undefined ? undefined : this.#excludes;
    const children: TreeNode[] = [];
    for (let child = links.first[index] ?? 0; child !== 0; child = links.next[child] ?? 0) {
      const childName = layer.scan.name(child);
      const isDirectoryRow = isDirectory(mode[child] ?? 0);
      if (this.#marks !== undefined && !isDirectoryRow) {
        if (this.#isWhiteout({ layer, links, index: child }, this.#marks)) continue;
      }
      // Only patterns need paths.
      const childPath = excludes === undefined ? "" : path === "" ? childName : `${path}/${childName}`;
      if (!isDirectoryRow) {
        if (excludes !== undefined && above !== undefined && excludes.matchesBelow(childPath, above)) continue;
        children.push(new TreeNode(childName, layer, child, NOTHING));
        continue;
      }
      const match = above === undefined ? undefined : excludes?.enter(childPath, above);
      if (match?.excluded === true && excludes?.mayContainIncluded(childPath) !== true) continue;
      const node = this.#alone(childName, childPath, { layer, links, index: child }, match);
      if (match?.excluded !== true || node.children.length > 0 || this.#depth === "one") children.push(node);
    }
    return new TreeNode(name, layer, index, children);
  }

  /** Groups the rows of a directory by name, topmost first, names in byte order. */
  #names(rows: readonly Row[]): Iterable<readonly [string, readonly Row[]]> {
    const byName = new Map<string, Row[]>();
    for (const row of rows) {
      for (const [name, found] of single(row)) {
        const known = byName.get(name);
        if (known === undefined) byName.set(name, [...found]);
        else known.push(...found);
      }
    }
    return [...byName].toSorted(([left], [right]) => compareNames(left, right));
  }

  #node(name: string, path: string, rows: readonly Row[], above: DirectoryMatch | undefined): TreeNode | undefined {
    const visible = this.#visible(rows);
    const [top] = visible;
    if (top === undefined) return undefined;
    const mode = top.layer.scan.columns.mode[top.index] ?? 0;
    if (!isDirectory(mode)) {
      if (this.#excludes !== undefined && above !== undefined && this.#excludes.matchesBelow(path, above)) {
        return undefined;
      }
      return new TreeNode(name, top.layer, top.index, NOTHING);
    }
    if (this.#excludes === undefined || above === undefined) return this.directory(name, path, visible, undefined);
    const match = this.#excludes.enter(path, above);
    if (match.excluded && !this.#excludes.mayContainIncluded(path)) return undefined;
    const node = this.directory(name, path, visible, match);
    // An excluded directory exists only if it holds files that a "!" pattern includes. A listing cannot tell.
    return match.excluded && node.children.length === 0 && this.#depth === "all" ? undefined : node;
  }

  /** Lists the visible parts of one name: down to the first whiteout, opaque directory or file. */
  #visible(rows: readonly Row[]): readonly Row[] {
    if (this.#marks === undefined) return rows;
    const visible: Row[] = [];
    for (const row of rows) {
      const { columns } = row.layer.scan;
      const mode = columns.mode[row.index] ?? 0;
      if (isDirectory(mode)) {
        visible.push(row);
        if (this.#isOpaque(row, this.#marks)) break;
        continue;
      }
      if (visible.length === 0 && !this.#isWhiteout(row, this.#marks)) visible.push(row);
      break;
    }
    return visible;
  }

  #isOpaque(row: Row, marks: Marks): boolean {
    if (!row.layer.scan.hasXattrs(row.index)) return false;
    return isOpaque(this.#native, this.#tree.layerFd(row.layer.layer), pathOf(row), marks);
  }

  #isWhiteout(row: Row, marks: Marks): boolean {
    const { columns } = row.layer.scan;
    const status = {
      mode: columns.mode[row.index] ?? 0,
      rdevMajor: columns.rdevMajor[row.index] ?? 0,
      rdevMinor: columns.rdevMinor[row.index] ?? 0,
      // Only a file with attributes can be the xattr form; when its size rules that out, no call is needed.
      size: row.layer.scan.hasXattrs(row.index) ? (columns.size[row.index] ?? 0) : -1,
    };
    return isWhiteout(this.#native, this.#tree.layerFd(row.layer.layer), pathOf(row), status, marks);
  }
}

function pathOf(row: Row): string {
  return new TreeNode("", row.layer, row.index, []).layerPath;
}

function* single(row: Row): Generator<readonly [string, readonly Row[]]> {
  const { layer, links } = row;
  for (let child = links.first[row.index] ?? 0; child !== 0; child = links.next[child] ?? 0) {
    yield [layer.scan.name(child), [{ layer, links, index: child }]];
  }
}
