import { O_DIRECTORY, O_PATH, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../native/constants.ts";
import { SystemError } from "../native/errno.ts";
import type { Native } from "../native/native.ts";
import type { TreeScan } from "../native/scan.ts";
import { isSeenAttribute } from "./carried-attributes.ts";
import { isOpaque, isOverlayMark, isWhiteout, type Marks } from "./overlay-marks.ts";

/** A layer's directory with what is in it. */
interface Layer {
  readonly native: Native;
  readonly fd: number;
  readonly scan: TreeScan;
  readonly marks: Marks;
}

/** Paths of a tree that a layer may have changed; all of their parents are among them. The root is the empty path. */
export interface AppliedPaths {
  readonly touched: readonly string[];
  /** Those of which everything that was below is gone, unless it is touched too. */
  readonly cleared: readonly string[];
}

/**
 * Makes a whole tree, in a directory of its own, what it is under one more layer: what the layer deletes goes, and what it holds is
 * copied. Nothing else may use the tree meanwhile. What is there already may be any part of the layer.
 */
export async function applyLayer(
  native: Native,
  at: { readonly layer: string; readonly marks: Marks; readonly to: string },
  signal: AbortSignal,
): Promise<AppliedPaths> {
  const fd = native.openPath(at.layer, O_PATH | O_DIRECTORY);
  const toFd = native.openPath(at.to, O_PATH | O_DIRECTORY);
  try {
    const layer: Layer = { native, fd, scan: native.scanTreeSync(fd, { xattrs: true, links: true }), marks: at.marks };
    const { files, directories, links, cleared } = makeNames(layer, toFd);
    signal.throwIfAborted();
    await copyFiles(layer, toFd, files);
    for (const { path, first } of links) native.linkat(toFd, first, toFd, path);
    for (const row of directories.toReversed()) copyMetadata(layer, row, toFd);
    copyMetadata(layer, 0, toFd);
    return { touched: Array.from({ length: layer.scan.count }, (_, row) => layer.scan.path(row)), cleared };
  } finally {
    native.close(fd);
    native.close(toFd);
  }
}

interface Made {
  /** Rows of regular files; their names are free now. */
  readonly files: readonly number[];
  readonly directories: readonly number[];
  readonly links: readonly { readonly path: string; readonly first: string }[];
  /** Directories that were removed, with all that was in them. */
  readonly cleared: readonly string[];
}

/**
 * Clears the way for what is in the layer and makes all of it but regular files. A directory comes before what it holds, and is no
 * symlink from then on: no later name is looked up through one.
 */
function makeNames(layer: Layer, toFd: number): Made {
  const { native, fd, scan, marks } = layer;
  const { columns } = scan;
  const files: number[] = [];
  const directories: number[] = [];
  const links: { path: string; first: string }[] = [];
  const cleared: string[] = [];
  const firsts = new Map<bigint, string>();
  for (let row = 1; row < scan.count; row += 1) {
    const path = scan.path(row);
    const mode = columns.mode[row] ?? 0;
    const type = mode & S_IFMT;
    const device = { major: columns.rdevMajor[row] ?? 0, minor: columns.rdevMinor[row] ?? 0 };
    const status = { mode, rdevMajor: device.major, rdevMinor: device.minor, size: columns.size[row] ?? 0 };
    const found = native.tryStatat(toFd, path);
    const wasDirectory = found !== undefined && (found.mode & S_IFMT) === S_IFDIR;
    if (type === S_IFDIR) {
      if (wasDirectory && scan.hasXattrs(row) && isOpaque(native, fd, path, marks)) {
        native.removeTreeSync(toFd, path);
        cleared.push(path);
      } else if (found !== undefined && !wasDirectory) native.unlinkat(toFd, path);
      if (native.tryStatat(toFd, path) === undefined) native.mkdirat(toFd, path, 0o700);
      else clearXattrs(native, toFd, path);
      directories.push(row);
      continue;
    }
    if (wasDirectory) {
      native.removeTreeSync(toFd, path);
      cleared.push(path);
    } else if (found !== undefined) native.unlinkat(toFd, path);
    if (type === S_IFSOCK || isWhiteout(native, fd, path, status, marks)) continue;
    const inode = columns.ino[row] ?? 0n;
    const first = (columns.nlink[row] ?? 1) > 1 ? firsts.get(inode) : undefined;
    if (first !== undefined) links.push({ path, first });
    else if (type === S_IFREG) files.push(row);
    else {
      if (type === S_IFLNK) native.symlinkat(scan.linkTarget(row), toFd, path);
      else native.mknodat(toFd, path, type | 0o600, device);
      copyMetadata(layer, row, toFd);
    }
    firsts.set(inode, first ?? path);
  }
  return { files, directories, links, cleared };
}

async function copyFiles({ native, fd, scan }: Layer, toFd: number, rows: readonly number[]): Promise<void> {
  const { columns } = scan;
  const paths = rows.map((row) => scan.path(row));
  const results = await native.copyFiles(fd, toFd, {
    from: paths,
    to: paths,
    modes: Uint32Array.from(rows, (row) => (columns.mode[row] ?? 0) & 0o7777),
    uids: Uint32Array.from(rows, (row) => columns.uid[row] ?? 0),
    gids: Uint32Array.from(rows, (row) => columns.gid[row] ?? 0),
    mtimesNs: BigInt64Array.from(rows, (row) => columns.mtimeNs[row] ?? 0n),
  });
  for (const [index, row] of rows.entries()) {
    const result = results[index] ?? 0;
    const path = paths[index] ?? "";
    if (result < 0) throw new SystemError(result, "copy", path, path);
    if (scan.hasXattrs(row)) copyXattrs(native, { fd, toFd, path });
  }
}

function copyMetadata({ native, fd, scan }: Layer, row: number, toFd: number): void {
  const { columns } = scan;
  const path = row === 0 ? "." : scan.path(row);
  const mode = columns.mode[row] ?? 0;
  native.fchownat(toFd, path, columns.uid[row] ?? 0, columns.gid[row] ?? 0);
  if ((mode & S_IFMT) !== S_IFLNK) native.fchmodat(toFd, path, mode & 0o7777);
  if (scan.hasXattrs(row)) copyXattrs(native, { fd, toFd, path });
  native.utimensat(toFd, path, columns.mtimeNs[row] ?? 0n);
}

/**
 * Removes the attributes of a directory, which the layer may have without them. A default access list, besides, would be
 * given to every file that is made in it.
 */
export function clearXattrs(native: Native, toFd: number, path: string): void {
  for (const key of native.listXattrs(toFd, path)) {
    if (isSeenAttribute(key)) native.removeXattr(toFd, path, key);
  }
}

function copyXattrs(
  native: Native,
  place: { readonly fd: number; readonly toFd: number; readonly path: string },
): void {
  const { fd, toFd, path } = place;
  for (const key of native.listXattrs(fd, path)) {
    const value = isOverlayMark(key) ? undefined : native.getXattr(fd, path, key);
    if (value !== undefined) native.setXattr(toFd, path, key, value);
  }
}
