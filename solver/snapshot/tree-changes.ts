import type { Native } from "../../lib/native/native.ts";
import type { ScanColumns, TreeScan } from "../../lib/native/scan.ts";
import {
  type FileState,
  isDirectoryState,
  type RecordedTree,
  rowState,
  scanRoot,
  type TreeState,
} from "./tree-state.ts";

/** The files in which a tree may differ from its record. All others are as recorded. */
export interface TreeChanges {
  /** Files that have another inode or change time, everything else in directories that have, and all of directories that are new. */
  readonly seen: ReadonlyMap<string, FileState>;
  /** Recorded paths that are gone. */
  readonly removed: ReadonlySet<string>;
  readonly scanned: ScanColumns;
}

/**
 * Compares a tree with its record. Inodes and change times of all files are compared as columns; only what differs gets a path
 * and an object, since a step changes few of many thousand files.
 */
export function findChanges(native: Native, root: string, recorded: RecordedTree): TreeChanges {
  const scan = scanRoot(native, root);
  const changed = changedRows(scan, recorded.scanned);
  const seen = new Map<string, FileState>();
  const open = new Set<string>();
  // Rows of directories of which everything is looked at.
  const whole = new Uint8Array(scan.count);
  for (let row = 0; row < scan.count; row += 1) {
    const parent = scan.columns.parent[row] ?? -1;
    if (parent >= 0 && whole[parent] === 1) whole[row] = 1;
    else if (changed[row] === 0 && (parent < 0 || changed[parent] === 0)) continue;
    const path = row === 0 ? "" : scan.path(row);
    const state = rowState(scan.columns, row);
    seen.set(path, state);
    if (!isDirectoryState(state)) continue;
    const was = recorded.files.get(path);
    // A directory that was moved here brings files that have not changed.
    if (was?.ino !== state.ino || !isDirectoryState(was)) whole[row] = 1;
    if (whole[row] === 1 || changed[row] === 1) open.add(path);
  }
  return { seen, removed: removedPaths(recorded.files, seen, open), scanned: scan.columns };
}

/** Brings a record up to date. */
export function adoptChanges(recorded: RecordedTree, { seen, removed, scanned }: TreeChanges): void {
  for (const path of removed) recorded.files.delete(path);
  for (const [path, state] of seen) recorded.files.set(path, state);
  recorded.scanned = scanned;
}

/** Marks the rows of which inode and change time are not those of any earlier row. */
function changedRows({ count, columns }: TreeScan, earlier: ScanColumns): Uint8Array {
  const [inodes, times] = [halves(columns.ino), halves(columns.ctimeNs)];
  const [knownInodes, knownTimes] = [halves(earlier.ino), halves(earlier.ctimeNs)];
  const changed = new Uint8Array(count);
  let byInode: Map<bigint, number> | undefined;
  let misses = 0;
  // Both scans are in the same order, so one of the next earlier rows is nearly always the one.
  let next = 0;
  for (let row = 0; row < count; row += 1) {
    let found: number | undefined = next;
    while (found < next + NEAR && !isEqual(inodes, row, knownInodes, found)) found += 1;
    if (found === next + NEAR) {
      misses += 1;
      if (misses > MAX_MISSES) byInode ??= new Map(earlier.ino.entries().map(([index, inode]) => [inode, index]));
      found = byInode?.get(columns.ino[row] ?? 0n);
    }
    if (found === undefined || !isEqual(times, row, knownTimes, found)) changed[row] = 1;
    if (found !== undefined) next = found + 1;
  }
  return changed;
}

/** Number of earlier rows in which a row's inode is looked for. */
const NEAR = 16;
/** Number of rows that may be taken for changed, and be looked at closer for nothing, before all inodes are indexed. */
const MAX_MISSES = 64;

/** The same 64-bit numbers as pairs: comparing them makes no BigInt. */
function halves({ buffer, byteOffset, length }: BigInt64Array | BigUint64Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, 2 * length);
}

function isEqual(left: Uint32Array, row: number, right: Uint32Array, other: number): boolean {
  return left[2 * row] === right[2 * other] && left[2 * row + 1] === right[2 * other + 1];
}

/** Finds recorded paths that are gone; a directory stands before what is in it. */
function removedPaths(files: TreeState, seen: TreeState, open: ReadonlySet<string>): Set<string> {
  const removed = new Set<string>();
  for (const path of files.keys()) {
    if (path === "") continue;
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (removed.has(parent) || (open.has(parent) && !seen.has(path))) removed.add(path);
    else {
      const above = seen.get(parent);
      if (above !== undefined && !isDirectoryState(above)) removed.add(path);
    }
  }
  return removed;
}
