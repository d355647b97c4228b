import { O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT, S_IFREG } from "../../../lib/native/constants.ts";
import type { TreeScan } from "../../../lib/native/scan.ts";
import { isOpaque, isWhiteout } from "../../../lib/tree/overlay-marks.ts";
import type { LookParts } from "./image-files.ts";

/** A regular file of one layer. */
export interface LayerFile {
  readonly path: string;
  readonly bytes: number;
  readonly row: number;
}

/** Files that one layer adds and hides. */
export interface LayerContent {
  readonly directory: string;
  readonly scan: TreeScan;
  readonly files: readonly LayerFile[];
  /** Paths that hide what is below them in lower layers: files, links, and directories of another kind. */
  readonly others: readonly string[];
  readonly whiteouts: readonly string[];
  readonly opaque: readonly string[];
}

/** Reads the directory of a layer, in one scan. */
export async function readLayer({ native, snapshotter }: LookParts, directory: string): Promise<LayerContent> {
  const fd = native.openPath(directory, O_PATH | O_DIRECTORY);
  try {
    const scan = await native.scanTree(fd, { xattrs: true });
    const { mode, size, nlink, dev, ino, rdevMajor, rdevMinor } = scan.columns;
    const content = {
      files: [] as LayerFile[],
      others: [] as string[],
      whiteouts: [] as string[],
      opaque: [] as string[],
    };
    const counted = new Set<string>();
    for (let row = 1; row < scan.count; row += 1) {
      const path = scan.path(row);
      const bits = mode[row] ?? 0;
      const status = {
        mode: bits,
        rdevMajor: rdevMajor[row] ?? 0,
        rdevMinor: rdevMinor[row] ?? 0,
        size: size[row] ?? 0,
      };
      if ((bits & S_IFMT) === S_IFDIR) {
        if (scan.hasXattrs(row) && isOpaque(native, fd, path, snapshotter.marks)) content.opaque.push(path);
        continue;
      }
      if (isWhiteout(native, fd, path, scan.hasXattrs(row) ? status : { ...status, size: -1 }, snapshotter.marks)) {
        content.whiteouts.push(path);
        continue;
      }
      if ((bits & S_IFMT) !== S_IFREG) {
        content.others.push(path);
        continue;
      }
      const inode = `${dev[row] ?? 0}:${ino[row] ?? 0n}`;
      const isKnown = (nlink[row] ?? 1) > 1 && counted.has(inode);
      counted.add(inode);
      content.files.push({ path, bytes: isKnown ? 0 : (size[row] ?? 0), row });
    }
    return { directory, scan, ...content };
  } finally {
    native.close(fd);
  }
}
