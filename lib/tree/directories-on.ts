import { isOverlayMark } from "./overlay-marks.ts";
import type { Directory, Entry, MergedTree } from "./merged-tree.ts";

/** One step of a path. */
export interface Step {
  readonly entry: Entry;
  /** `undefined` for the last step, when something else is in the place of a directory. */
  readonly directory: Directory | undefined;
}

/** Looks up each name of a path in a tree, from the root down, as far as they exist. Follows no symlink. */
export function directoriesOn(tree: MergedTree, path: string): readonly Step[] {
  const steps: Step[] = [];
  let at = tree.root;
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    const entry = tree.child(at, name);
    if (entry === undefined) break;
    steps.push({ entry, directory: entry.directory });
    if (entry.directory === undefined) break;
    at = entry.directory;
  }
  return steps;
}

/** The attributes that a directory has as a file, without those that say how layers lie on it. */
export function ownAttributes(
  tree: MergedTree,
  directory: Directory,
): readonly (readonly [key: string, value: Buffer])[] {
  const [top] = directory.parts;
  if (top === undefined) return [];
  const fd = tree.partFd(directory, top);
  const keys = tree.native.listXattrs(fd, ".").filter((key) => !isOverlayMark(key));
  return keys.toSorted().flatMap((key) => {
    const value = tree.native.getXattr(fd, ".", key);
    return value === undefined ? [] : [[key, value] as const];
  });
}
