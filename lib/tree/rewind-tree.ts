import { O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT } from "../native/constants.ts";
import type { Native } from "../native/native.ts";
import { clearXattrs } from "./apply-layer.ts";
import { copyMetadata, copyNodes, type Placed } from "./copy-tree.ts";
import { MergedTree } from "./merged-tree.ts";
import { isOpaque, type Marks } from "./overlay-marks.ts";
import { scanDirectory, type TreeNode } from "./tree-node.ts";

export interface Rewinding {
  /** The whole tree that is rewound. What the topmost dropped layer has may be missing in it. */
  readonly to: string;
  /** Layers that the tree must be without afterwards. */
  readonly dropped: readonly string[];
  /** Layers that stay, topmost first. */
  readonly directories: readonly string[];
  readonly marks: Marks;
}

/**
 * Makes a whole tree what it was before its upper layers were applied: every path that they name is made again from the layers
 * below. Nothing else may use the tree meanwhile.
 */
export async function rewindTree(native: Native, rewinding: Rewinding, signal: AbortSignal): Promise<void> {
  const { to, dropped, directories, marks } = rewinding;
  const touched = new Map<string, "merged" | "replaced">();
  for (const layer of dropped) noteTouched(native, { layer, marks }, touched);
  using tree = new MergedTree({ native, directories, marks });
  const root = await scanDirectory(tree, tree.root, { nowNs: () => 0n, prune: {}, depth: "all" }, signal);
  const toFd = native.openPath(to, O_PATH | O_DIRECTORY);
  try {
    const { merged, missing } = clearTouched(native, toFd, { root, touched });
    relink(native, toFd, { root, merged, missing });
    // First: a default access list would be given to every file that is made.
    for (const path of merged.keys()) clearXattrs(native, toFd, path);
    await copyNodes(
      tree,
      toFd,
      [...missing].map(([path, node]) => ({ path, node })),
      signal,
    );
    for (const [path, node] of merged) copyMetadata(tree, node, toFd, path === "" ? "." : path);
  } finally {
    native.close(toFd);
  }
}

/** Notes what a layer names. A path at which it has anything but a directory that shows the one below is `replaced`. */
function noteTouched(
  native: Native,
  { layer, marks }: { readonly layer: string; readonly marks: Marks },
  touched: Map<string, "merged" | "replaced">,
): void {
  const fd = native.openPath(layer, O_PATH | O_DIRECTORY);
  try {
    const scan = native.scanTreeSync(fd, { xattrs: true });
    for (let row = 0; row < scan.count; row += 1) {
      const path = row === 0 ? "" : scan.path(row);
      const isTree = ((scan.columns.mode[row] ?? 0) & S_IFMT) === S_IFDIR;
      const isMerged = isTree && (row === 0 || !scan.hasXattrs(row) || !isOpaque(native, fd, path, marks));
      if (!isMerged) touched.set(path, "replaced");
      else if (!touched.has(path)) touched.set(path, "merged");
    }
  } finally {
    native.close(fd);
  }
}

interface Cleared {
  /** Directories that stay, and get their metadata back. */
  readonly merged: Map<string, TreeNode>;
  /** Entries that are gone and must be made again. */
  readonly missing: Map<string, TreeNode>;
}

/** Removes what the dropped layers have left at their paths. Parents come first, and none is followed that is a link. */
function clearTouched(
  native: Native,
  toFd: number,
  { root, touched }: { readonly root: TreeNode; readonly touched: ReadonlyMap<string, "merged" | "replaced"> },
): Cleared {
  const merged = new Map<string, TreeNode>([["", root]]);
  const missing = new Map<string, TreeNode>();
  const paths = [...touched.keys()].filter((path) => path !== "");
  for (const path of paths.toSorted((left, right) => depthOf(left) - depthOf(right))) {
    const parent = merged.get(parentOf(path));
    // All of a directory that is gone, or that is made again, is dealt with already.
    if (parent === undefined) continue;
    const name = path.slice(path.lastIndexOf("/") + 1);
    const node = parent.children.find((child) => child.name === name);
    const found = native.tryStatat(toFd, path);
    const isTree = found !== undefined && (found.mode & S_IFMT) === S_IFDIR;
    if (isTree && node?.isDirectory === true && touched.get(path) === "merged") {
      merged.set(path, node);
      continue;
    }
    if (isTree) native.removeTreeSync(toFd, path);
    else if (found !== undefined) native.unlinkat(toFd, path);
    if (node !== undefined) missing.set(path, node);
  }
  return { merged, missing };
}

/** Has all names of a file made again where one is, so that they are names of one file. */
function relink(native: Native, toFd: number, { root, merged, missing }: Cleared & { readonly root: TreeNode }): void {
  const files = new Set<string>();
  for (const node of missing.values()) for (const { node: file } of linkedBelow(node, "")) files.add(file.inode);
  if (files.size === 0) return;
  for (const { node, path, parents } of linkedBelow(root, "")) {
    if (!files.has(node.inode) || missing.has(path) || parents.some(({ path: parent }) => missing.has(parent)))
      continue;
    native.unlinkat(toFd, path);
    missing.set(path, node);
    for (const parent of parents.slice(-1)) merged.set(parent.path, parent.node);
  }
}

/** Finds the files with several names in a subtree, each with the directories above it. */
function* linkedBelow(
  node: TreeNode,
  path: string,
  parents: readonly Placed[] = [],
): Generator<Placed & { readonly parents: readonly Placed[] }> {
  if (!node.isDirectory) {
    if (node.nlink > 1) yield { node, path, parents };
    return;
  }
  const inside = [...parents, { node, path }];
  for (const child of node.children)
    yield* linkedBelow(child, path === "" ? child.name : `${path}/${child.name}`, inside);
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}

function depthOf(path: string): number {
  return path.split("/").length;
}
