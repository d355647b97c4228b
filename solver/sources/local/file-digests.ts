import { createHash } from "node:crypto";
import { read } from "node:fs";
import { promisify } from "node:util";
import { BuildError, errnoOf } from "../../../src/core/errors.ts";
import { mapLimit } from "../../../src/core/limits.ts";
import {
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
} from "../../../src/native/constants.ts";
import { printableName } from "../../../src/native/names.ts";
import type { MergedTree } from "../../ops/tree/merged-tree.ts";
import type { FileDigests } from "../../ops/tree/source-view.ts";
import type { LayerScan, TreeNode } from "../../ops/tree/tree-node.ts";
import type { StatIndex } from "./stat-index.ts";

/** Files up to this size are digested many at a time. */
const SMALL_BYTES = 256 * 1024;
/** Files of one call to the addon, and calls at a time. */
const CALL_FILES = 512;
const LANES = 2;
const DIGEST_BYTES = 32;
/** Of one read of a large file. */
const BLOCK_BYTES = 8 * 1024 * 1024;
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;

const readAsync = promisify(read);

/** Reads every file it is asked about: for trees that are asked about once. */
export const readDigests: FileDigests = async (tree, nodes, signal) => {
  const digests = Buffer.alloc(nodes.length * DIGEST_BYTES);
  const all = nodes.map((node, at) => ({ node, at }));
  await digestFiles(tree, all, digests, signal);
  return digests;
};

/** Reads only what the index does not know, and tells it. */
export function indexedDigests(index: StatIndex): FileDigests {
  return async (tree, nodes, signal) => {
    const digests = Buffer.alloc(nodes.length * DIGEST_BYTES);
    const unknown: (Wanted & { readonly entry: number })[] = [];
    for (const [layer, at] of placesByLayer(nodes)) {
      const rows = Int32Array.from(at, (place) => nodes[place]?.index ?? 0);
      const found = index.find(layer, rows);
      const isAll = at.length === nodes.length;
      if (isAll) found.digests.copy(digests);
      for (const [nth, place] of at.entries()) {
        const entry = found.entries[nth] ?? -1;
        const node = nodes[place];
        if (node === undefined) continue;
        if (entry < 0) unknown.push({ node, at: place, entry });
        else if (!isAll) copyDigest(found.digests, nth, digests, place);
      }
    }
    if (unknown.length === 0) return digests;
    await digestFiles(tree, unknown, digests, signal);
    for (const { node, at, entry } of unknown) {
      const digest = digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
      index.set({ layer: node.layer, row: node.index, entry }, digest);
    }
    return digests;
  };
}

/** Nearly always one scan, and all of the nodes. */
function placesByLayer(nodes: readonly TreeNode[]): ReadonlyMap<LayerScan, readonly number[]> {
  const places = new Map<LayerScan, number[]>();
  for (const [at, { layer }] of nodes.entries()) {
    const known = places.get(layer);
    if (known === undefined) places.set(layer, [at]);
    else known.push(at);
  }
  return places;
}

function copyDigest(from: Buffer, fromAt: number, to: Buffer, at: number): void {
  from.copy(to, at * DIGEST_BYTES, fromAt * DIGEST_BYTES, (fromAt + 1) * DIGEST_BYTES);
}

interface Wanted {
  readonly node: TreeNode;
  /** Where its digest goes. */
  readonly at: number;
}

async function digestFiles(
  tree: MergedTree,
  wanted: readonly Wanted[],
  into: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const small = new Map<number, Wanted[]>();
  for (const item of wanted) {
    if (item.node.sizeBytes > SMALL_BYTES) {
      copyDigest(await digestLarge(tree, item.node, signal), 0, into, item.at);
      continue;
    }
    const { layer } = item.node.layer;
    const known = small.get(layer);
    if (known === undefined) small.set(layer, [item]);
    else known.push(item);
  }
  for (const [layer, items] of small) await digestSmall(tree, layer, items, into, signal);
}

/** On threads of the addon, some at a time. */
async function digestSmall(
  tree: MergedTree,
  layer: number,
  items: readonly Wanted[],
  into: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const calls: (readonly Wanted[])[] = [];
  for (let at = 0; at < items.length; at += CALL_FILES) calls.push(items.slice(at, at + CALL_FILES));
  await mapLimit(calls, LANES, signal, async (files) => {
    const names = files.map(({ node }) => node.layerPath);
    const { digests, results } = await tree.native.digestFiles(tree.layerFd(layer), names, RESOLVE);
    for (const [at, { node, at: place }] of files.entries()) {
      if (results[at] === node.sizeBytes) copyDigest(digests, at, into, place);
      // It failed, or grew or shrank since it was scanned: take it alone, with its error or as it is now.
      else copyDigest(await digestLarge(tree, node, signal), 0, into, place);
    }
  });
}

async function digestLarge(tree: MergedTree, node: TreeNode, signal: AbortSignal): Promise<Buffer> {
  const path = node.layerPath;
  let fd: number;
  try {
    fd = tree.native.openat2(tree.layerFd(node.layer.layer), path, {
      flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
      resolve: RESOLVE,
    });
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    const digest = createHash("sha256");
    const block = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, Math.max(65_536, node.sizeBytes + 1)));
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await readAsync(fd, block, 0, block.length, null);
      if (bytesRead === 0) return digest.digest();
      digest.update(block.subarray(0, bytesRead));
    }
  } finally {
    tree.native.close(fd);
  }
}

function unreadable(path: string, cause: unknown): BuildError {
  const code = errnoOf(cause);
  const why =
    code === "EACCES" || code === "EPERM"
      ? "permission denied"
      : code === "ENOENT"
        ? "it has just been deleted"
        : (code ?? String(cause));
  return new BuildError("context/unreadable", `Cannot read ${JSON.stringify(printableName(path))}: ${why}`, {
    hint: "exclude it in .dockerignore if the image does not need it",
    cause,
  });
}
