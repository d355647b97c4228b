import { O_DIRECTORY, O_PATH, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../native/constants.ts";
import { SystemError } from "../native/errno.ts";
import type { Native } from "../native/native.ts";
import { MergedTree } from "./merged-tree.ts";
import { isOverlayMark, type Marks } from "./overlay-marks.ts";
import { scanDirectory, type TreeNode } from "./tree-node.ts";

/** A file of a merged tree, and the path where it goes in a copy. */
export interface Placed {
  readonly node: TreeNode;
  readonly path: string;
}

/** Copies a merged tree into an empty directory. Files are never linked: a command may write into the copy. */
export async function copyMerged(
  native: Native,
  copy: { readonly directories: readonly string[]; readonly marks: Marks; readonly to: string },
  signal: AbortSignal,
): Promise<void> {
  using tree = new MergedTree({ native, directories: copy.directories, marks: copy.marks });
  const root = await scanDirectory(tree, tree.root, { nowNs: () => 0n, prune: {}, depth: "all" }, signal);
  const toFd = native.openPath(copy.to, O_PATH | O_DIRECTORY);
  try {
    const tops = root.children.map((node) => ({ node, path: node.name }));
    await copyNodes(tree, toFd, tops, signal);
    copyMetadata(tree, root, toFd, ".");
  } finally {
    native.close(toFd);
  }
}

/** Copies files and directories with all that is in them. Their names are free; names of one file stay names of one. */
export async function copyNodes(
  tree: MergedTree,
  toFd: number,
  tops: readonly Placed[],
  signal: AbortSignal,
): Promise<void> {
  const { native } = tree;
  const files: Placed[] = [];
  const directories: Placed[] = [];
  const links = new Map<string, string>();
  const linked: { readonly path: string; readonly first: string }[] = [];
  const visit = (node: TreeNode, path: string): void => {
    const type = node.mode & S_IFMT;
    if (type === S_IFDIR) {
      native.mkdirat(toFd, path, 0o700);
      directories.push({ node, path });
      for (const child of node.children) visit(child, `${path}/${child.name}`);
      return;
    }
    const first = node.nlink > 1 ? links.get(node.inode) : undefined;
    if (first !== undefined) {
      linked.push({ path, first });
      return;
    }
    if (node.nlink > 1) links.set(node.inode, path);
    if (type === S_IFREG) files.push({ node, path });
    else if (type !== S_IFSOCK) {
      if (type === S_IFLNK) native.symlinkat(node.linkTarget, toFd, path);
      else native.mknodat(toFd, path, type | 0o600, node.device);
      copyMetadata(tree, node, toFd, path);
    }
  };
  for (const { node, path } of tops) visit(node, path);
  for (const [layer, batch] of Map.groupBy(files, ({ node }) => node.layer.layer)) {
    signal.throwIfAborted();
    const results = await native.copyFiles(tree.layerFd(layer), toFd, {
      from: batch.map(({ node }) => node.layerPath),
      to: batch.map(({ path }) => path),
      modes: Uint32Array.from(batch, ({ node }) => node.mode & 0o7777),
      uids: Uint32Array.from(batch, ({ node }) => node.uid),
      gids: Uint32Array.from(batch, ({ node }) => node.gid),
      mtimesNs: BigInt64Array.from(batch, ({ node }) => node.mtimeNs),
    });
    for (const [index, { node, path }] of batch.entries()) {
      const result = results[index] ?? 0;
      if (result < 0) throw new SystemError(result, "copy", node.layerPath, path);
      if (node.hasXattrs) copyXattrs(tree, node, toFd, path);
    }
  }
  for (const { path, first } of linked) native.linkat(toFd, first, toFd, path);
  for (const { node, path } of directories.toReversed()) copyMetadata(tree, node, toFd, path);
}

/** Gives a file or directory the owner, mode, attributes and time of a node. */
export function copyMetadata(tree: MergedTree, node: TreeNode, toFd: number, path: string): void {
  const { native } = tree;
  native.fchownat(toFd, path, node.uid, node.gid);
  if (node.type !== S_IFLNK) native.fchmodat(toFd, path, node.mode & 0o7777);
  if (node.hasXattrs) copyXattrs(tree, node, toFd, path);
  native.utimensat(toFd, path, node.mtimeNs);
}

function copyXattrs(tree: MergedTree, node: TreeNode, toFd: number, path: string): void {
  const fromFd = tree.layerFd(node.layer.layer);
  const from = node.layerPath === "" ? "." : node.layerPath;
  for (const key of tree.native.listXattrs(fromFd, from)) {
    const value = isOverlayMark(key) ? undefined : tree.native.getXattr(fromFd, from, key);
    if (value !== undefined) tree.native.setXattr(toFd, path, key, value);
  }
}
