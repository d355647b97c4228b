import type { LayerRuns } from "../core/run-interval.ts";
import type { Digest } from "../core/digest.ts";
import type { KeptBytes, ScanOptions } from "../native/native.ts";
import type { Directory, MergedTree } from "./merged-tree.ts";
import { type LayerScan, mergeScans, scanLayers, type TreeNode } from "./tree-node.ts";

/** What is known of the contents of some regular files. */
export interface FileContents {
  /** The sha256 of each, 32 bytes, in the order in which they were asked for. */
  readonly digests: Buffer;
  /** Bytes of small ones that had to be read, by the scan whose rows they are; they are what the digests are of. */
  readonly kept: ReadonlyMap<LayerScan, KeptBytes>;
}

export type FileDigests = (tree: MergedTree, nodes: readonly TreeNode[], signal: AbortSignal) => Promise<FileContents>;

/** Names of selections by what a scan says of their files; see `Fingerprints`. */
export interface KnownSelections {
  get(what: string, print: string): Digest | undefined;
  set(what: string, print: string, digest: Digest): void;
}

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
  /** Of the tree's ignore patterns, as text. */
  readonly excludes?: readonly string[];
  readonly fingerprints?: KnownSelections | undefined;
  /** For each layer of the tree, the times of its files that count; absent where none do. */
  readonly runsOf?: ((layer: number) => LayerRuns) | undefined;
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
  readonly excludes: readonly string[];
  readonly fingerprints: KnownSelections | undefined;
  readonly runsOf: ((layer: number) => LayerRuns) | undefined;
  readonly #prune: Pick<ScanOptions, "prunePaths" | "pruneNames">;
  readonly #nowNs: () => bigint;
  readonly #layers = new Map<string, Promise<readonly LayerScan[]>>();
  readonly #whole = new Map<string, Promise<TreeNode>>();
  readonly #listed = new Map<string, Promise<TreeNode>>();

  constructor(options: SourceViewOptions) {
    this.tree = options.tree;
    this.owners = options.owners;
    this.root = options.root;
    this.digests = options.digests;
    this.excludes = options.excludes ?? [];
    this.fingerprints = options.fingerprints;
    this.runsOf = options.runsOf;
    this.#prune = options.prune;
    this.#nowNs = options.nowNs;
  }

  /**
   * What `scan` will be made of, before anything is made of it; `undefined` where it comes out of the scan of a directory
   * above.
   */
  async layers(directory: Directory, signal: AbortSignal): Promise<readonly LayerScan[] | undefined> {
    for (let at = directory.parent; at !== undefined; at = at.parent) if (this.#whole.has(at.path)) return undefined;
    return this.#scanned(directory, "all", signal);
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
    const scan = this.#scanned(directory, depth, signal).then((layers) =>
      mergeScans(this.tree, directory, layers, depth),
    );
    scans.set(directory.path, scan);
    try {
      return await scan;
    } catch (error) {
      // One caller's abort or one unreadable moment is not the answer for those who ask later.
      scans.delete(directory.path);
      throw error;
    }
  }

  async #scanned(directory: Directory, depth: "all" | "one", signal: AbortSignal): Promise<readonly LayerScan[]> {
    const options = { nowNs: this.#nowNs, prune: pruneBelow(this.#prune, directory.path), depth };
    if (depth === "one") return scanLayers(this.tree, directory, options, signal);
    const known = this.#layers.get(directory.path);
    if (known !== undefined) return known;
    const scan = scanLayers(this.tree, directory, options, signal);
    this.#layers.set(directory.path, scan);
    try {
      return await scan;
    } catch (error) {
      this.#layers.delete(directory.path);
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
