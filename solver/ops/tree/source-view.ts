import type { ScanOptions } from "../../../src/native/native.ts";
import type { Directory, MergedTree } from "./merged-tree.ts";
import { scanDirectory, type TreeNode } from "./tree-node.ts";

/** Digests of the contents of regular files, 64 hex digits each, in the order of the nodes. */
export type FileDigests = (
  tree: MergedTree,
  nodes: readonly TreeNode[],
  signal: AbortSignal,
) => Promise<readonly string[]>;

export interface SourceViewOptions {
  readonly tree: MergedTree;
  /** `root`: files of the client, whose owner says nothing. `kept`: files of a stage or image. */
  readonly owners: "root" | "kept";
  /** Shown in errors: the context directory, or what the files are of. */
  readonly root: string;
  readonly prune: Pick<ScanOptions, "prunePaths" | "pruneNames">;
  readonly digests: FileDigests;
  /** The real-time clock, nanoseconds since 1970. */
  readonly nowNs: () => bigint;
}

/**
 * A tree that files are copied from. Directories are scanned when something asks for them and only once, so that a
 * context of which two files are wanted is not read whole, and one that is wanted ten times is not read ten times.
 */
export class SourceView {
  readonly tree: MergedTree;
  readonly owners: "root" | "kept";
  readonly root: string;
  readonly digests: FileDigests;
  readonly #prune: Pick<ScanOptions, "prunePaths" | "pruneNames">;
  readonly #nowNs: () => bigint;
  readonly #whole = new Map<string, Promise<TreeNode>>();
  readonly #listed = new Map<string, Promise<TreeNode>>();

  constructor(options: SourceViewOptions) {
    this.tree = options.tree;
    this.owners = options.owners;
    this.root = options.root;
    this.digests = options.digests;
    this.#prune = options.prune;
    this.#nowNs = options.nowNs;
  }

  /** Everything in a directory and below. */
  async scan(directory: Directory, signal: AbortSignal): Promise<TreeNode> {
    return (
      (await this.#inside(this.#whole, directory)) ?? (await this.#remember(this.#whole, directory, "all", signal))
    );
  }

  /** What is in a directory; its directories' own children may be missing. */
  async list(directory: Directory, signal: AbortSignal): Promise<TreeNode> {
    return (
      (await this.#inside(this.#whole, directory)) ??
      (await this.#listed.get(directory.path)) ??
      (await this.#remember(this.#listed, directory, "one", signal))
    );
  }

  /** The node of one entry of a directory; `undefined` when it has gone since it was looked up. */
  async entry(directory: Directory, name: string, signal: AbortSignal): Promise<TreeNode | undefined> {
    return (await this.list(directory, signal)).children.find((child) => child.name === name);
  }

  /** From a scan of the directory or of one above it. */
  async #inside(scans: ReadonlyMap<string, Promise<TreeNode>>, directory: Directory): Promise<TreeNode | undefined> {
    const below: string[] = [];
    for (let at: Directory | undefined = directory; at !== undefined; at = at.parent) {
      const scan = scans.get(at.path);
      if (scan !== undefined) {
        let node: TreeNode | undefined = await scan;
        for (const name of below.toReversed()) node = node?.children.find((child) => child.name === name);
        return node;
      }
      below.push(at.path.slice(at.path.lastIndexOf("/") + 1));
    }
    return undefined;
  }

  async #remember(
    scans: Map<string, Promise<TreeNode>>,
    directory: Directory,
    depth: "all" | "one",
    signal: AbortSignal,
  ): Promise<TreeNode> {
    const prune = pruneBelow(this.#prune, directory.path);
    const scan = scanDirectory(this.tree, directory, { nowNs: this.#nowNs, prune, depth }, signal);
    scans.set(directory.path, scan);
    try {
      return await scan;
    } catch (error) {
      // One caller's abort or one unreadable moment is not the answer for those who ask later.
      scans.delete(directory.path);
      throw error;
    }
  }
}

/** The paths to prune, seen from a directory further down. */
function pruneBelow(
  prune: Pick<ScanOptions, "prunePaths" | "pruneNames">,
  directory: string,
): Pick<ScanOptions, "prunePaths" | "pruneNames"> {
  if (directory === "" || prune.prunePaths === undefined) return prune;
  const prefix = `${directory}/`;
  const prunePaths = prune.prunePaths.flatMap((path) => (path.startsWith(prefix) ? [path.slice(prefix.length)] : []));
  return { ...prune, prunePaths };
}
