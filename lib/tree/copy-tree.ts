import { O_DIRECTORY, O_PATH, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../native/constants.ts";
import { SystemError } from "../native/errno.ts";
import type { Native } from "../native/native.ts";
import { MergedTree } from "./merged-tree.ts";
import { isOverlayMark, type Marks } from "./overlay-marks.ts";
import { scanDirectory, type TreeNode } from "./tree-node.ts";

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
    const files: { readonly node: TreeNode; readonly path: string }[] = [];
    const directories: { readonly node: TreeNode; readonly path: string }[] = [];
    const links = new Map<string, string>();
    const linked: { readonly path: string; readonly first: string }[] = [];
    const visit = (node: TreeNode, prefix: string): void => {
      for (const child of node.children) {
        const path = prefix + child.name;
        const type = child.mode & S_IFMT;
        const first = child.nlink > 1 && type !== S_IFDIR ? links.get(child.inode) : undefined;
        if (first !== undefined) linked.push({ path, first });
        else if (type === S_IFDIR) {
          native.mkdirat(toFd, path, 0o700);
          directories.push({ node: child, path });
          visit(child, `${path}/`);
        } else if (type === S_IFREG) files.push({ node: child, path });
        else if (type === S_IFLNK) native.symlinkat(child.linkTarget, toFd, path);
        else if (type !== S_IFSOCK) native.mknodat(toFd, path, type | 0o600, child.device);
        if (first === undefined && child.nlink > 1 && type !== S_IFDIR) links.set(child.inode, path);
        if (type !== S_IFDIR && type !== S_IFREG && type !== S_IFSOCK && first === undefined) {
          copyMetadata(tree, child, toFd, path);
        }
      }
    };
    visit(root, "");
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
    copyMetadata(tree, root, toFd, ".");
  } finally {
    native.close(toFd);
  }
}

function copyMetadata(tree: MergedTree, node: TreeNode, toFd: number, path: string): void {
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
