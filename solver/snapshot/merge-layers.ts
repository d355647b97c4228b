import { O_DIRECTORY, O_PATH } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import { isDirectory, isOpaque, markOpaque, type Marks } from "../../lib/tree/overlay-marks.ts";

/** What the merged directory has under a path. */
interface Merged {
  /** A directory that lower layers may add to. */
  isOpen: boolean;
  /** Of directories: set at the end, once nothing is written into them any more. */
  readonly mtimeNs: bigint | undefined;
}

/**
 * Makes one layer in overlay form of several that lie one over the other: seen over any tree, it shows what they show.
 * Everything but directories is a hard link, so that it takes no more space than directories do. Whiteouts and opaque marks
 * stay, because they may hide something further down.
 *
 * @param layers host directories, topmost first, all on the file system of `into`, an empty directory
 */
export function mergeLayers(native: Native, layers: readonly string[], into: string, marks: Marks): void {
  const intoFd = native.openPath(into, O_PATH | O_DIRECTORY);
  try {
    const merged = new Map<string, Merged>();
    for (const layer of layers) {
      const fd = native.openPath(layer, O_PATH | O_DIRECTORY);
      try {
        addLayer({ native, fd, intoFd, marks }, merged);
      } finally {
        native.close(fd);
      }
    }
    for (const [path, { mtimeNs }] of [...merged].toReversed()) {
      if (mtimeNs !== undefined) native.utimensat(intoFd, path === "" ? "." : path, mtimeNs);
    }
  } finally {
    native.close(intoFd);
  }
}

interface Layer {
  readonly native: Native;
  readonly fd: number;
  readonly intoFd: number;
  readonly marks: Marks;
}

/** Adds what the layers above leave visible. */
function addLayer(layer: Layer, merged: Map<string, Merged>): void {
  const { native, fd, intoFd } = layer;
  const scan = native.scanTreeSync(fd, { xattrs: true });
  const { mode, parent } = scan.columns;
  /** Rows of directories that can be seen from above. */
  const visible = new Uint8Array(scan.count);
  /** Directories that this layer closes: what is in them here counts still. */
  const closed: Merged[] = [];
  for (let row = 0; row < scan.count; row += 1) {
    if (row > 0 && visible[parent[row] ?? 0] === 0) continue;
    const path = scan.path(row);
    const above = merged.get(path);
    if (!isDirectory(mode[row] ?? 0)) {
      if (above?.isOpen === true) {
        // What has the name of a directory without being one ends it, for the layers further down as well.
        markOpaque(native, intoFd, path, layer.marks);
        above.isOpen = false;
      }
      if (above !== undefined) continue;
      native.linkat(fd, path, intoFd, path);
      merged.set(path, { isOpen: false, mtimeNs: undefined });
      continue;
    }
    if (above !== undefined && !above.isOpen) continue;
    visible[row] = 1;
    const made = above ?? makeDirectory(layer, path, scan.columns.mtimeNs[row] ?? 0n);
    if (above === undefined) merged.set(path, made);
    if (scan.hasXattrs(row) && addMarks(layer, path, above !== undefined)) closed.push(made);
  }
  for (const directory of closed) directory.isOpen = false;
}

/** As the layer has it: the topmost one decides. Its attributes too, marks among them. */
function makeDirectory({ native, fd, intoFd }: Layer, path: string, mtimeNs: bigint): Merged {
  const name = path === "" ? "." : path;
  const { mode, uid, gid } = native.statat(fd, name);
  if (path !== "") native.mkdirat(intoFd, path, 0o700);
  native.fchownat(intoFd, name, uid, gid);
  native.fchmodat(intoFd, name, mode & 0o7777);
  for (const key of native.listXattrs(fd, name)) {
    const value = native.getXattr(fd, name, key);
    if (value !== undefined) native.setXattr(intoFd, name, key, value);
  }
  return { isOpen: true, mtimeNs };
}

/** Passes on what a directory further down says of those below it. Returns whether it hides them all. */
function addMarks({ native, fd, intoFd, marks }: Layer, path: string, isThere: boolean): boolean {
  const name = path === "" ? "." : path;
  const key = `${marks}.overlay.opaque`;
  const value = native.getXattr(fd, name, key);
  if (value === undefined) return false;
  // "x" says that whiteouts in attributes are inside, and "y" says more than that.
  if (isThere && !isOpaque(native, intoFd, name, marks)) native.setXattr(intoFd, name, key, value);
  return isOpaque(native, fd, name, marks);
}
