import type { LayerRuns } from "../core/run-interval.ts";
import type { Digest } from "../core/digest.ts";
import type { KeptBytes, ScanOptions } from "../native/native.ts";
import type { Directory, MergedTree } from "./merged-tree.ts";
import { type LayerScan, mergeScans, scanLayers, type TreeNode, type Uniform } from "./tree-node.ts";

/** Facts about the contents of some regular files. */
export interface FileContents {
  /** The sha256 of each, 32 bytes, in the order of the request. */
  readonly digests: Buffer;
  /**
   * Contents of small files that had to be read, by the scan that lists them. The digests are digests of these bytes.
   */
  readonly kept: ReadonlyMap<LayerScan, KeptBytes>;
}

export type FileDigests = (tree: MergedTree, nodes: readonly TreeNode[], signal: AbortSignal) => Promise<FileContents>;

/** Digests of selections, found by the scan's facts about their files; see `Fingerprints`. */
export interface KnownSelections {
  get(what: string, print: string): Digest | undefined;
  set(what: string, print: string, digest: Digest): void;
}

export interface SourceViewOptions {
  readonly tree: MergedTree;
  /** `root`: files of the client; their owners do not count. `kept`: files of a stage or image. */
  readonly owners: "root" | "kept";
  /** Display name for errors: the context directory, or the origin of the files. */
  readonly root: string;
  readonly prune: Pick<ScanOptions, "prunePaths" | "pruneNames">;
  readonly digests: FileDigests;
  /** The real-time clock, nanoseconds since 1970. */
  readonly nowNs: () => bigint;
  /** Texts of the tree's ignore patterns. */
  readonly excludes?: readonly string[];
  readonly fingerprints?: KnownSelections | undefined;
  /** Returns, for a layer of the tree, the runs that decide which file times count; absent where none count. */
  readonly runsOf?: ((layer: number) => LayerRuns) | undefined;
  /** Metadata that all files have in common. Their time then counts. */
  readonly uniform?: Uniform | undefined;
}

/**
 * A tree as the source of copies. Each directory is scanned on first use and only once: a context of which two files
 * are wanted is not read whole, and a directory that is wanted ten times is read once.
 */
export class SourceView {
  readonly tree: MergedTree;
  readonly owners: "root" | "kept";
  readonly root: string;
  readonly digests: FileDigests;
  readonly excludes: readonly string[];
  readonly fingerprints: KnownSelections | undefined;
  readonly runsOf: ((layer: number) => LayerRuns) | undefined;
  readonly uniform: Uniform | undefined;
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
    this.uniform = options.uniform;
    this.runsOf = options.uniform === undefined ? options.runsOf : () => ALL_COUNT;
    this.#prune = options.prune;
    this.#nowNs = options.nowNs;
  }

  /**
   * Returns the scans from which `scan` will build its result, before it is built; `undefined` where the result is part
   * of the scan of a directory above.
   */
  async layers(directory: Directory, signal: AbortSignal): Promise<readonly LayerScan[] | undefined> {
    for (let at = directory.parent; at !== undefined; at = at.parent) if (this.#whole.has(at.path)) return undefined;
    return this.#scanned(directory, "all", signal);
  }

  /** Scans a directory and everything below. */
  async scan(directory: Directory, signal: AbortSignal): Promise<TreeNode> {
    return (
      (await this.#inside(this.#whole, directory)) ?? (await this.#remember(this.#whole, directory, "all", signal))
    );
  }

  /** Lists a directory; its directories' own children may be missing. */
  async list(directory: Directory, signal: AbortSignal): Promise<TreeNode> {
    return (
      (await this.#inside(this.#whole, directory)) ??
      (await this.#listed.get(directory.path)) ??
      (await this.#remember(this.#listed, directory, "one", signal))
    );
  }

  /** Makes the node of one entry of a directory; `undefined` when it disappeared since it was looked up. */
  async entry(directory: Directory, name: string, signal: AbortSignal): Promise<TreeNode | undefined> {
    return (await this.list(directory, signal)).children.find((child) => child.name === name);
  }

  /** Finds a directory in its own scan or that of a directory above. */
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
      // One caller's abort, or one failed read, must not be the answer for later callers.
      scans.delete(directory.path);
      throw error;
    }
  }

  async #scanned(directory: Directory, depth: "all" | "one", signal: AbortSignal): Promise<readonly LayerScan[]> {
    const prune = pruneBelow(this.#prune, directory.path);
    const options = { nowNs: this.#nowNs, prune, depth, uniform: this.uniform };
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

/** No runs: no time means only "now". */
const ALL_COUNT: LayerRuns = [];

/** Rebases the paths to prune for a directory further down. */
function pruneBelow(
  prune: Pick<ScanOptions, "prunePaths" | "pruneNames">,
  directory: string,
): Pick<ScanOptions, "prunePaths" | "pruneNames"> {
  if (directory === "" || prune.prunePaths === undefined) return prune;
  const prefix = `${directory}/`;
  const prunePaths = prune.prunePaths.flatMap((path) => (path.startsWith(prefix) ? [path.slice(prefix.length)] : []));
  return { ...prune, prunePaths };
}
