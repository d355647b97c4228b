import { O_DIRECTORY, O_PATH, O_RDONLY, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS } from "../../../lib/native/constants.ts";
import type { Native } from "../../../lib/native/native.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import type { Snapshotter } from "../../ports.ts";

/**
 * Gives directories that a layer's tar only implies (`a/b` without `a`) the mode, owner and time that they have in the
 * layers below. Whoever unpacks layer upon layer finds them there; a layer unpacked by itself had to make them up, and
 * in an overlay the topmost directory's metadata is what shows.
 */
export function lendParents(
  to: {
    readonly directory: string;
    /** Relative to it. */
    readonly paths: readonly string[];
    /** Directories of the layers below, topmost first. */
    readonly below: readonly string[];
  },
  on: { readonly native: Native; readonly snapshotter: Pick<Snapshotter, "marks"> },
): void {
  if (to.below.length === 0) return;
  const { native } = on;
  using tree = new MergedTree({ native, directories: [...new Set(to.below)], marks: on.snapshotter.marks });
  const root = native.openPath(to.directory, O_PATH | O_DIRECTORY);
  try {
    // Children first: giving a child its time does not change its parent's, but making it did.
    for (const path of to.paths.toSorted().toReversed()) {
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
