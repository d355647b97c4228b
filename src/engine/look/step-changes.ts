import { S_IFDIR, S_IFREG } from "../../../lib/native/constants.ts";
import type { SnapshotId } from "../../../lib/store/model.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import { compareFiles, type Difference } from "./compare-images.ts";
import { listImageFiles, type LookParts, openImageFiles } from "./image-files.ts";

/** A file that a step added, modified or deleted. */
export interface StepChange {
  readonly path: string;
  readonly kind: "added" | "modified" | "deleted";
  readonly isDirectory: boolean;
  /** Bytes of a regular file before and after; absent for what has none. */
  readonly sizeBefore: number | undefined;
  readonly sizeAfter: number | undefined;
  /** The fields of the header that differ, and `content`; empty unless modified. */
  readonly fields: readonly Difference[];
}

/** Compares the tree after a step with the one before. Directories that only have another time are left out. */
export async function stepChanges(
  parts: LookParts,
  layers: readonly SnapshotId[],
  signal: AbortSignal,
): Promise<readonly StepChange[]> {
  await using before = await openImageFiles(parts, { layers: layers.slice(0, -1) }, signal);
  await using after = await openImageFiles(parts, { layers }, signal);
  const differences = await compareFiles(before, after, Number.POSITIVE_INFINITY, signal);
  const nodes = async (files: typeof before): Promise<ReadonlyMap<string, TreeNode>> =>
    new Map((await listImageFiles(files, "/", "all", signal)).map(({ path, node }) => [path, node]));
  const [was, is] = [await nodes(before), await nodes(after)];
  return differences.flatMap(({ path, kind, fields }): StepChange[] => {
    const [old, now] = [was.get(path), is.get(path)];
    const isDirectory = (now ?? old)?.type === S_IFDIR;
    if (isDirectory && kind === "changed" && fields.every(({ name }) => name === "mtime")) return [];
    return [{ path, kind: KINDS[kind], isDirectory, sizeBefore: sizeOf(old), sizeAfter: sizeOf(now), fields }];
  });
}

const KINDS = { added: "added", removed: "deleted", changed: "modified" } as const;

function sizeOf(node: TreeNode | undefined): number | undefined {
  return node?.type === S_IFREG ? node.sizeBytes : undefined;
}
