import { BuildError, errnoOf } from "../../../lib/core/errors.ts";
import { hasWildcards } from "../../../lib/core/patterns/go-match.ts";
import { cleanPath } from "../../../lib/core/patterns/clean-path.ts";
import { PatternMatcher } from "../../../lib/core/patterns/pattern-matcher.ts";
import type { Native, ScanOptions } from "../../../lib/native/native.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import { type KnownSelections, SourceView } from "../../../lib/tree/source-view.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import { clockOf, type FileClock } from "../../select/clocks.ts";
import { indexedDigests } from "../../select/file-digests.ts";
import { Fingerprints } from "../../select/fingerprints.ts";
import { StatIndex, type StatIndexStorage } from "../../select/stat-index.ts";

/** `again` reads files even if their digests are known, for steps that skip the cache. */
export type Reading = "known" | "again";

export interface LocalSourceOptions {
  readonly native: Native;
  /** Absolute host path of the context directory. */
  readonly directory: string;
  /** Storage of the index between builds, so that unchanged files are not read again. */
  readonly index: StatIndexStorage;
  /** Storage of fingerprints, so that unchanged directories are not even listed; absent: none. */
  readonly fingerprints?: StatIndexStorage;
  /** The real-time clock, nanoseconds since 1970. */
  readonly nowNs: () => bigint;
  /** The clock behind the files' times; detected when absent. */
  readonly clock?: FileClock;
}

/**
 * A directory of the client: the build context or a named one. No file is read before it is selected, or twice in one
 * build. Dispose it after the build; `save` keeps the file digests.
 */
export class LocalSource implements Disposable {
  readonly directory: string;
  readonly #options: LocalSourceOptions;
  readonly #index: StatIndex;
  readonly #fingerprints: Fingerprints | undefined;
  readonly #views = new Map<string, SourceView>();
  readonly #earlierViews: SourceView[] = [];

  constructor(options: LocalSourceOptions) {
    this.directory = options.directory;
    this.#options = options;
    const clock = options.clock ?? clockOf(options.directory);
    this.#index = new StatIndex(options.native, options.index, clock);
    // A fingerprint trusts the times of all files at once.
    const { fingerprints } = options;
    this.#fingerprints = fingerprints === undefined || clock !== "own" ? undefined : new Fingerprints(fingerprints);
  }

  /**
   * Returns the directory without ignored files. There is one view per list of patterns, owned by the source. Its files
   * belong to root unless their owners are `kept`. With a `uniformTime`, in seconds, times and modes of the files do not
   * count; see `LocalOp`.
   * @throws {BuildError} `context/not-found`, `context/unreadable`, `pattern/malformed`
   */
  view(
    excludes: readonly string[],
    owners: "root" | "kept" = "root",
    reading: Reading = "known",
    uniformTime?: number,
  ): SourceView {
    const key = JSON.stringify([owners, excludes, reading, uniformTime]);
    const known = this.#views.get(key);
    if (known !== undefined) return known;
    const matcher = excludes.length === 0 ? undefined : new PatternMatcher(excludes);
    const made = new SourceView({
      tree: this.#open(matcher),
      owners,
      root: this.directory,
      prune: prunable(excludes),
      digests: indexedDigests(this.#index, reading),
      nowNs: this.#options.nowNs,
      excludes,
      fingerprints: this.#known(reading),
      uniform: uniformTime === undefined ? undefined : { mtimeNs: BigInt(uniformTime) * 1_000_000_000n },
    });
    this.#views.set(key, made);
    return made;
  }

  /** Makes the next use scan the directory again, for all views or one. Earlier results stay usable. */
  lookAgain(view?: SourceView): void {
    for (const [key, known] of this.#views) {
      if (view !== undefined && known !== view) continue;
      this.#views.delete(key);
      this.#earlierViews.push(known);
    }
  }

  /** Forgets digests of files that turned out to have other content. */
  forget(files: readonly TreeNode[]): void {
    for (const { layer, index } of files) this.#index.forget(layer, index);
    this.#fingerprints?.clear();
  }

  /** Keeps the digests of the files read in this build for the next one. */
  save(): void {
    this.#index.save();
    this.#fingerprints?.save();
  }

  [Symbol.dispose](): void {
    for (const view of [...this.#views.values(), ...this.#earlierViews]) view.tree[Symbol.dispose]();
    this.#views.clear();
    this.#earlierViews.length = 0;
  }

  #known(reading: Reading): KnownSelections | undefined {
    const fingerprints = this.#fingerprints;
    if (fingerprints === undefined) return undefined;
    return {
      get: (what, print) => {
        const known = reading === "again" ? undefined : fingerprints.get(what, print);
        if (known !== undefined) this.#index.keepAll();
        return known;
      },
      set: (what, print, digest) => fingerprints.set(what, print, digest),
    };
  }

  #open(excludes: PatternMatcher | undefined): MergedTree {
    const { native, directory } = this.#options;
    try {
      return new MergedTree({ native, directories: [directory], marks: undefined, excludes });
    } catch (error) {
      const code = errnoOf(error);
      if (code === "ENOENT" || code === "ENOTDIR") {
        const why = code === "ENOENT" ? "there is no such directory" : "it is not a directory";
        throw new BuildError("context/not-found", `Cannot read the build context ${directory}: ${why}`, {
          cause: error,
        });
      }
      throw new BuildError("context/unreadable", `Cannot read the build context ${directory}: ${code ?? "it failed"}`, {
        cause: error,
      });
    }
  }
}

/**
 * Finds directories that a scan need not enter, from the patterns alone: by path (`node_modules`, `a/b`), or by name
 * where the pattern is two stars and a name. Only patterns after the last `!` count, because that one might include
 * files below an earlier one.
 */
export function prunable(excludes: readonly string[]): Pick<ScanOptions, "prunePaths" | "pruneNames"> {
  const last = excludes.findLastIndex((pattern) => pattern.trim().startsWith("!"));
  const prunePaths: string[] = [];
  const pruneNames: string[] = [];
  for (const given of excludes.slice(last + 1)) {
    let pattern = cleanPath(given.trim()).replace(/^\//, "");
    if (pattern.endsWith("/**")) pattern = pattern.slice(0, -3);
    const isAnywhere = pattern.startsWith("**/");
    if (isAnywhere) pattern = pattern.slice(3);
    if (pattern === "" || pattern === "." || pattern.startsWith("..")) continue;
    if (hasWildcards(pattern) || pattern.includes("\\")) continue;
    if (!isAnywhere) prunePaths.push(pattern);
    else if (!pattern.includes("/") && !given.trim().endsWith("/**")) pruneNames.push(pattern);
  }
  return { prunePaths, pruneNames };
}
