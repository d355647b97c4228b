import { isOverlayMark } from "./overlay-marks.ts";
import type { Directory, Entry, MergedTree } from "./merged-tree.ts";

/** One name of a path. */
export interface Step {
  readonly entry: Entry;
  /** `undefined` for the last step, when something other than a directory has the name. */
  readonly directory: Directory | undefined;
}

/** Looks up each name of a path in a tree, from the root down, as far as they exist. Follows no symlinks. */
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

/** Lists a directory's attributes, without those that describe the layering of the overlay. */
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
