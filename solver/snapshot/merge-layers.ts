import { O_DIRECTORY, O_PATH } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import { isDirectory, isOpaque, markOpaque, type Marks } from "../../lib/tree/overlay-marks.ts";

/** The merged directory's state of a path. */
interface Merged {
  /** True for a directory to which lower layers may add. */
  isOpen: boolean;
  /** Time of a directory: set at the end, after all writes into it. */
  readonly mtimeNs: bigint | undefined;
}

/**
 * Merges several stacked layers into one in overlay form: over any tree, it shows the same files. Everything but
 * directories is a hard link, so that it takes no more space than directories do. Whiteouts and opaque marks stay,
 * because they may hide files further down.
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

/** Adds the files that the layers above leave visible. */
function addLayer(layer: Layer, merged: Map<string, Merged>): void {
  const { native, fd, intoFd } = layer;
  const scan = native.scanTreeSync(fd, { xattrs: true });
  const { mode, parent } = scan.columns;
  /** Rows of directories that are visible from above. */
  const visible = new Uint8Array(scan.count);
  /** Directories that this layer closes: their content in this layer still counts. */
  const closed: Merged[] = [];
  for (let row = 0; row < scan.count; row += 1) {
    if (row > 0 && visible[parent[row] ?? 0] === 0) continue;
    const path = scan.path(row);
    const above = merged.get(path);
    if (!isDirectory(mode[row] ?? 0)) {
      if (above?.isOpen === true) {
        // A file with the name of a directory ends it, for the layers further down as well.
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

/** Makes a directory with the metadata of the topmost layer, including attributes and marks. */
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

/** Adds the marks of a directory further down. Returns whether it hides all directories below. */
function addMarks({ native, fd, intoFd, marks }: Layer, path: string, isThere: boolean): boolean {
  const name = path === "" ? "." : path;
  const key = `${marks}.overlay.opaque`;
  const value = native.getXattr(fd, name, key);
  if (value === undefined) return false;
  // "x" says that whiteouts in attributes are inside, and "y" includes that meaning.
  if (isThere && !isOpaque(native, intoFd, name, marks)) native.setXattr(intoFd, name, key, value);
  return isOpaque(native, fd, name, marks);
}
