import { lstatSync } from "node:fs";
import { O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT } from "../../lib/native/constants.ts";
import { encodeName } from "../../lib/native/names.ts";
import type { ScanColumns, TreeScan } from "../../lib/native/scan.ts";
import type { FileStatus, Native } from "../../lib/native/native.ts";
import type { AppliedPaths } from "../../lib/tree/apply-layer.ts";

/** A file at one moment. Inode and change time, which no program can set, tell whether it is still the same. */
export interface FileState {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly ino: bigint;
  readonly device: { readonly major: number; readonly minor: number };
}

/** The files of a tree by path, a directory before its content. The root is the empty path. */
export type TreeState = ReadonlyMap<string, FileState>;

/** The files of a tree by path, and the columns of the scan in which each was seen last or had not changed since. */
export interface RecordedTree {
  readonly files: Map<string, FileState>;
  scanned: ScanColumns;
}

export function recordTree(native: Native, root: string): RecordedTree {
  const scan = scanRoot(native, root);
  const files = new Map<string, FileState>();
  for (let row = 0; row < scan.count; row += 1) files.set(row === 0 ? "" : scan.path(row), rowState(scan.columns, row));
  return { files, scanned: scan.columns };
}

export function scanRoot(native: Native, root: string): TreeScan {
  const fd = native.openPath(root, O_PATH | O_DIRECTORY);
  try {
    return native.scanTreeSync(fd);
  } finally {
    native.close(fd);
  }
}

export function rowState(columns: ScanColumns, row: number): FileState {
  return {
    mode: columns.mode[row] ?? 0,
    uid: columns.uid[row] ?? 0,
    gid: columns.gid[row] ?? 0,
    size: columns.size[row] ?? 0,
    nlink: columns.nlink[row] ?? 1,
    mtimeNs: columns.mtimeNs[row] ?? 0n,
    ctimeNs: columns.ctimeNs[row] ?? 0n,
    ino: columns.ino[row] ?? 0n,
    device: { major: columns.rdevMajor[row] ?? 0, minor: columns.rdevMinor[row] ?? 0 },
  };
}

/**
 * Updates a state after a layer was applied to its tree: what the layer touched is looked at again, and other names of
 * files that have lost or gained one.
 */
export function refreshTreeState(
  native: Native,
  root: string,
  { state, applied }: { readonly state: Map<string, FileState>; readonly applied: AppliedPaths },
): void {
  const touched = new Set(applied.touched);
  const relinked = forgetCleared(state, applied.cleared);
  const fd = native.openPath(root, O_PATH | O_DIRECTORY);
  try {
    for (const path of touched) {
      const was = state.get(path);
      if (was !== undefined && hasOtherNames(was)) relinked.add(was.ino);
    }
    if (relinked.size > 0) for (const [path, { ino }] of state) if (relinked.has(ino)) touched.add(path);
    for (const path of touched) {
      const status = native.tryStatat(fd, path);
      if (status === undefined) state.delete(path);
      else state.set(path, stateOf(status));
    }
  } finally {
    native.close(fd);
  }
}

/** Forgets what was below removed directories; returns the inodes of files that have other names. */
function forgetCleared(state: Map<string, FileState>, cleared: readonly string[]): Set<bigint> {
  const relinked = new Set<bigint>();
  if (cleared.length === 0) return relinked;
  const gone = new Set(cleared);
  const isGone = (path: string): boolean => {
    for (let slash = path.lastIndexOf("/"); slash !== -1; slash = path.lastIndexOf("/", slash - 1))
      if (gone.has(path.slice(0, slash))) return true;
    return false;
  };
  for (const [path, was] of state) {
    if (!isGone(path)) continue;
    if (hasOtherNames(was)) relinked.add(was.ino);
    state.delete(path);
  }
  return relinked;
}

function hasOtherNames(state: FileState): boolean {
  return state.nlink > 1 && !isDirectoryState(state);
}

function stateOf({ rdevMajor, rdevMinor, ...status }: FileStatus): FileState {
  const { mode, uid, gid, size, nlink, mtimeNs, ctimeNs, ino } = status;
  return { mode, uid, gid, size, nlink, mtimeNs, ctimeNs, ino, device: { major: rdevMajor, minor: rdevMinor } };
}

export function isDirectoryState({ mode }: FileState): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

/** Returns the time when a file was created, in nanoseconds since 1970; 0 where the file system does not record it. */
export function birthTimeNs(root: string, path: string): bigint {
  const name = Buffer.concat([Buffer.from(`${root}/`), encodeName(path)]);
  return lstatSync(name, { bigint: true }).birthtimeNs;
}

/** Returns the latest change time in a tree. */
export function latestChangeNs(state: TreeState): bigint {
  let latestNs = 0n;
  for (const { ctimeNs } of state.values()) if (ctimeNs > latestNs) latestNs = ctimeNs;
  return latestNs;
}
