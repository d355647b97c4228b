import { O_DIRECTORY, O_PATH, O_RDONLY, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS } from "../../../lib/native/constants.ts";
import type { Native } from "../../../lib/native/native.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import type { Snapshotter } from "../../ports.ts";

/**
 * Gives directories that a layer's tar only implies (`a/b` without `a`) the mode, owner and time that they have in the
 * layers below. Unpacking layer upon layer would find them there; unpacking one layer by itself had to invent them, and
 * in an overlay the topmost directory's metadata is visible.
 */
export function lendParents(
  layer: {
    readonly directory: string;
    /** Paths relative to it. */
    readonly paths: readonly string[];
    /** Directories of the layers below, topmost first. */
    readonly below: readonly string[];
  },
  deps: { readonly native: Native; readonly snapshotter: Pick<Snapshotter, "marks"> },
): void {
  if (layer.below.length === 0) return;
  const { native } = deps;
  using tree = new MergedTree({ native, directories: [...new Set(layer.below)], marks: deps.snapshotter.marks });
  const root = native.openPath(layer.directory, O_PATH | O_DIRECTORY);
  try {
    // Children first: setting a child's time does not change its parent's, but creating it did.
    for (const path of layer.paths.toSorted().toReversed()) {
      const status = tree.directoryAt(path)?.status;
      if (status === undefined) continue;
      const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
      const fd = native.openat2(root, path, { flags: O_RDONLY | O_DIRECTORY, resolve });
      try {
        native.fchownat(fd, "", status.uid, status.gid);
        native.fchmodat(fd, "", status.mode & 0o7777);
        native.utimensat(fd, "", status.mtimeNs);
      } finally {
        native.close(fd);
      }
    }
  } finally {
    native.close(root);
  }
}
