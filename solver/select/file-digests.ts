import { createHash } from "node:crypto";
import { read } from "node:fs";
import { promisify } from "node:util";
import { BuildError, errnoOf } from "../../lib/core/errors.ts";
import { mapLimit } from "../../lib/core/limits.ts";
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
} from "../../lib/native/constants.ts";
import { printableName } from "../../lib/native/names.ts";
import type { KeptBytes } from "../../lib/native/native.ts";
import type { MergedTree } from "../../lib/tree/merged-tree.ts";
import { hasMoved, MovedSourceError } from "../../lib/tree/moved-source.ts";
import type { FileDigests } from "../../lib/tree/source-view.ts";
import type { LayerScan, TreeNode } from "../../lib/tree/tree-node.ts";
import type { StatIndex } from "./stat-index.ts";

/** Size up to which files are digested many at a time. */
const SMALL_BYTES = 256 * 1024;
/** Bytes that stay in memory for a copy that comes soon. */
const KEPT_BYTES = 32 * 1024 * 1024;
/** Files per call to the addon. The next limit is concurrent calls. */
const CALL_FILES = 512;
const LANES = 2;
const DIGEST_BYTES = 32;
/** Size of one read of a large file. */
const BLOCK_BYTES = 8 * 1024 * 1024;
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;

const readAsync = promisify(read);

/** Reads every file: for trees that are used once. */
export const readDigests: FileDigests = async (tree, nodes, signal) => {
  const digests = Buffer.alloc(nodes.length * DIGEST_BYTES);
  const all = nodes.map((node, at) => ({ node, at }));
  return { digests, kept: await digestFiles(tree, all, digests, signal) };
};

/** Reads the files that the index does not know, or all of them (`again`), and adds them to the index. */
export function indexedDigests(index: StatIndex, reading: "known" | "again"): FileDigests {
  return async (tree, nodes, signal) => {
    const digests = Buffer.alloc(nodes.length * DIGEST_BYTES);
    const unknown: (Wanted & { readonly entry: number })[] = [];
    for (const [layer, places] of placesByLayer(nodes)) {
      const found = index.find(layer, rowsOf(places));
      const isAll = places.length === nodes.length;
      if (isAll) found.digests.copy(digests);
      for (let nth = 0; nth < places.length; nth += 1) {
        const entry = found.entries[nth] ?? -1;
        const place = places[nth];
        if (place === undefined) continue;
        // A row that is not to be trusted is treated as one with another stamp.
        if (entry < 0 || reading === "again") unknown.push({ ...place, entry: entry < 0 ? entry : -entry - 2 });
        else if (!isAll) copyDigest(found.digests, nth, digests, place.at);
      }
    }
    if (unknown.length === 0) return { digests, kept: new Map() };
    const kept = await digestFiles(tree, unknown, digests, signal);
    for (const { node, at, entry } of unknown) {
      const digest = digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
      index.set({ layer: node.layer, row: node.index, entry }, digest);
    }
    return { digests, kept };
  };
}

interface Wanted {
  readonly node: TreeNode;
  /** Index of its digest. */
  readonly at: number;
}

/** Groups the nodes by scan. Nearly always there is one scan with all of them. */
function placesByLayer(nodes: readonly TreeNode[]): ReadonlyMap<LayerScan, readonly Wanted[]> {
  const places = new Map<LayerScan, Wanted[]>();
  let layer: LayerScan | undefined;
  let last: Wanted[] = [];
  for (let at = 0; at < nodes.length; at += 1) {
    const node = nodes[at];
    if (node === undefined) continue;
    if (node.layer !== layer) {
      layer = node.layer;
      last = places.get(layer) ?? [];
      places.set(layer, last);
    }
    last.push({ node, at });
  }
  return places;
}

function rowsOf(wanted: readonly Wanted[]): Int32Array {
  const rows = new Int32Array(wanted.length);
  for (let at = 0; at < wanted.length; at += 1) rows[at] = wanted[at]?.node.index ?? 0;
  return rows;
}

function copyDigest(from: Buffer, fromAt: number, target: Buffer, targetOffset: number): void {
  from.copy(target, targetOffset * DIGEST_BYTES, fromAt * DIGEST_BYTES, (fromAt + 1) * DIGEST_BYTES);
}

/**
 * Digests files.
 * @returns the bytes of small files, as far as there is room for them
 */
async function digestFiles(
  tree: MergedTree,
  wanted: readonly Wanted[],
  into: Buffer,
  signal: AbortSignal,
): Promise<ReadonlyMap<LayerScan, KeptBytes>> {
  const small = new Map<LayerScan, Wanted[]>();
  for (const item of wanted) {
    if (item.node.sizeBytes > SMALL_BYTES) {
      copyDigest(await digestLarge(tree, item.node, signal), 0, into, item.at);
      continue;
    }
    const { layer } = item.node;
    const known = small.get(layer);
    if (known === undefined) small.set(layer, [item]);
    else known.push(item);
  }
  const kept = new Map<LayerScan, KeptBytes>();
  let room = KEPT_BYTES;
  for (const [layer, items] of small) {
    const bytes = keepable(layer, items, room);
    room -= bytes.bytes.length;
    kept.set(layer, bytes);
    await digestSmall(tree, layer, items, { digests: into, kept: bytes }, signal);
  }
  return kept;
}

/** Reserves room for the first files that fit. */
function keepable(layer: LayerScan, items: readonly Wanted[], room: number): KeptBytes {
  const offsets = new Float64Array(layer.scan.count).fill(-1);
  const sizes = layer.scan.columns.size;
  let used = 0;
  for (const { node } of items) {
    const size = sizes[node.index] ?? 0;
    if (used + size > room) break;
    offsets[node.index] = used;
    used += size;
  }
  return { bytes: Buffer.allocUnsafeSlow(used), offsets };
}

/** Digests small files on the addon's threads, some at a time. */
async function digestSmall(
  tree: MergedTree,
  layer: LayerScan,
  items: readonly Wanted[],
  into: { readonly digests: Buffer; readonly kept: KeptBytes },
  signal: AbortSignal,
): Promise<void> {
  const calls: (readonly Wanted[])[] = [];
  for (let at = 0; at < items.length; at += CALL_FILES) calls.push(items.slice(at, at + CALL_FILES));
  const { columns } = layer.scan;
  const root = layer.base === "" ? "." : layer.base;
  const flags = O_PATH | O_DIRECTORY;
  const dirfd = tree.native.openat2(tree.layerFd(layer.layer), root, { flags, resolve: RESOLVE });
  try {
    await mapLimit(calls, LANES, signal, async (files) => {
      const { digests, results } = await tree.native.digestRows(dirfd, {
        columns,
        rows: rowsOf(files),
        kept: into.kept,
      });
      for (const [nth, { node, at }] of files.entries()) {
        if (results[nth] === node.sizeBytes) {
          copyDigest(digests, nth, into.digests, at);
          continue;
        }
        // It failed, or its size changed since it was scanned: read it alone, to get its error or its present content.
        into.kept.offsets[node.index] = -1;
        copyDigest(await digestLarge(tree, node, signal), 0, into.digests, at);
      }
    });
  } finally {
    tree.native.close(dirfd);
  }
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
    const failure = unreadable(path, error);
    throw hasMoved(error) ? new MovedSourceError(failure) : failure;
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
