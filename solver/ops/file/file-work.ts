import { originOf } from "../../../lib/store/snapshot-id.ts";
import type { LayerRuns } from "../../../lib/core/run-interval.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { SnapshotRow } from "../../../lib/store/model.ts";
import type { Snapshots } from "../../../lib/store/store.ts";
import { copyPart, type InputUse } from "../../cache/uses.ts";
import { unreachable } from "../../../lib/core/errors.ts";
import type { FileOp, LocalOp } from "../../graph/op.ts";
import { type DescribedCopy, describeCopy } from "./described-copy.ts";
import type { EarlierResult } from "./earlier-copy.ts";
import { MAX_ACCOUNTS_BYTES } from "./owner.ts";
import { runFileOp } from "./run-file-op.ts";
import { stackView } from "./stack-view.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import type { SourceView } from "../../../lib/tree/source-view.ts";
import type { Snapshotter, Stack } from "../../ports.ts";
import { isMovedSource } from "../../../lib/tree/moved-source.ts";
import type { LocalSource, Reading } from "../../sources/local/local-source.ts";
import { type DigestedSelection, digestSelection } from "../../select/digest-selection.ts";
import { select, type Selection } from "../../select/select.ts";
import { copySelector, pathSelector, type Selector } from "../../select/selector.ts";

/** Files to select or copy from: a local directory, or a stack with all layers present. */
export type InputTree =
  | { readonly kind: "local"; readonly op: LocalOp }
  | { readonly kind: "stack"; readonly stack: Stack };

export interface FileWorkDeps {
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  readonly snapshots: Pick<Snapshots, "getMany">;
  /** Sources by `LocalOp.name`. */
  readonly locals: ReadonlyMap<string, LocalSource>;
}

/** Limit of scans of a local directory while its files come and go. */
export const MAX_SCANS = 5;

/** Returns the runs that decide which times of a layer's files count: of a base image all count, as in its diffID. */
export function runsOf({ id, runs }: Pick<SnapshotRow, "id" | "runs">): LayerRuns {
  return originOf(id) === "image" ? [] : runs;
}

/** The file operations of one step, over the trees that it opens for them. Disposing closes those trees. */
export class FileWork implements AsyncDisposable {
  readonly #deps: FileWorkDeps;
  readonly #open = new AsyncDisposableStack();
  readonly #stacks = new Map<string, Promise<SourceView>>();
  readonly #changed = new Map<string, Selection>();

  constructor(deps: FileWorkDeps) {
    this.#deps = deps;
  }

  /** Copied contents, by part, that differ from the selection: files of the client may change at any time. */
  get changed(): ReadonlyMap<string, Selection> {
    return this.#changed;
  }

  /**
   * Digests the files that a use takes from a local directory. A directory with files that come and go is scanned
   * again.
   */
  async digestSelection(
    use: InputUse,
    input: LocalOp,
    look: { readonly reading: Reading },
    signal: AbortSignal,
  ): Promise<DigestedSelection> {
    const source = this.#local(input);
    for (let left = MAX_SCANS; ; left -= 1) {
      const view = source.view(input.excludes, input.owners, look.reading, input.uniformTime);
      try {
        return await digestSelection(view, selectorOf(use), signal);
      } catch (error) {
        signal.throwIfAborted();
        if (left <= 1 || !isMovedSource(error)) throw error;
        source.lookAgain(view);
      }
    }
  }

  /** Selects the files that a use takes from an input. */
  async select(use: InputUse, input: InputTree, signal: AbortSignal): Promise<Selection> {
    return select(await this.#view(input, signal), selectorOf(use), signal);
  }

  /** Discards the scans of local directories, because a file in them has moved. */
  lookAgain(inputs: readonly LocalOp[]): void {
    for (const op of inputs) this.#local(op).lookAgain();
  }

  /**
   * Applies an op's actions to a tree with the host directories `directories`, topmost first; the topmost is written.
   * `inputs` by index of the vertex's inputs; `selected`, by the name of the part, holds earlier selections. Selections
   * that turn out to be outdated are then in `changed`.
   */
  async run(
    op: FileOp,
    trees: {
      readonly directories: readonly string[];
      readonly inputs: readonly (InputTree | undefined)[];
      readonly selected?: ReadonlyMap<string, Selection>;
      /** Returns the name of an action's part; default: that of a file operation's key. */
      readonly partOf?: (action: number) => string;
      /** Earlier result to share files with. */
      readonly earlier?: EarlierResult | undefined;
      /** The `warn` of `FileOpInputs`. */
      readonly warn?: (message: string, hint: string) => void;
    },
    signal: AbortSignal,
  ): Promise<void> {
    const { native, snapshotter } = this.#deps;
    const { partOf = copyPart } = trees;
    const copies = await runFileOp(
      op,
      {
        directories: trees.directories,
        marks: snapshotter.marks,
        source: (index) => {
          const input = trees.inputs[index];
          if (input === undefined) throw new Error(`File operation without its input ${index}`);
          return this.#view(input, signal);
        },
        selected: (action) => trees.selected?.get(partOf(action)),
        warn: trees.warn,
        earlier: trees.earlier === undefined ? undefined : (target) => trees.earlier?.into(target),
      },
      { native },
      signal,
    );
    for (const [action, { actual, changed }] of copies) {
      this.#changed.set(partOf(action), actual);
      const input = op.actions[action];
      const tree = input?.kind === "copy" ? trees.inputs[input.input] : undefined;
      if (tree?.kind === "local") this.#local(tree.op).forget(changed);
    }
  }

  /**
   * Describes the layer of an op, where possible, instead of making its files: see `describeCopy`. `selected` as for
   * `run`. Close the result before this object.
   */
  async describe(
    op: FileOp,
    trees: {
      readonly parent: Stack;
      readonly inputs: readonly (InputTree | undefined)[];
      readonly selected: ReadonlyMap<string, Selection>;
      readonly nowNs: bigint;
    },
    signal: AbortSignal,
  ): Promise<DescribedCopy | undefined> {
    const [action] = op.actions;
    const selection = trees.selected.get(copyPart(0));
    const input = action?.kind === "copy" ? trees.inputs[action.input] : undefined;
    if (selection === undefined || input === undefined) return undefined;
    const { native, snapshotter } = this.#deps;
    await using lower = await snapshotter.view(trees.parent, signal);
    using tree = new MergedTree({ native, directories: lower.directories, marks: snapshotter.marks });
    return describeCopy(op, { tree, view: await this.#view(input, signal), selection, nowNs: trees.nowNs });
  }

  /** Reads a small regular file of a tree, resolving symlinks inside it; `undefined` when there is none. */
  readText(directories: readonly string[], path: string): string | undefined {
    const { native, snapshotter } = this.#deps;
    using tree = new MergedTree({ native, directories, marks: snapshotter.marks });
    return tree.readFile(path, MAX_ACCOUNTS_BYTES)?.toString();
  }

  /** Lists the absolute paths at which a tree has nothing, not even a symlink. */
  missing(directories: readonly string[], paths: readonly string[]): string[] {
    const { native, snapshotter } = this.#deps;
    using tree = new MergedTree({ native, directories, marks: snapshotter.marks });
    return paths.filter((path) => tree.resolve(path, "keep").missing.length > 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open.disposeAsync();
  }

  async #view(input: InputTree, signal: AbortSignal): Promise<SourceView> {
    if (input.kind === "local") {
      const { excludes, owners, uniformTime } = input.op;
      return this.#local(input.op).view(excludes, owners, "known", uniformTime);
    }
    const key = input.stack.join(" ");
    let view = this.#stacks.get(key);
    if (view === undefined) this.#stacks.set(key, (view = this.#openStack(input.stack, signal)));
    return view;
  }

  #local(op: LocalOp): LocalSource {
    const source = this.#deps.locals.get(op.name);
    if (source === undefined) throw new Error(`No local directory is called ${JSON.stringify(op.name)}`);
    return source;
  }

  async #openStack(stack: Stack, signal: AbortSignal): Promise<SourceView> {
    const { native, snapshotter, snapshots } = this.#deps;
    const { directories } = this.#open.use(await snapshotter.view(stack, signal));
    const runs = new Map(snapshots.getMany(stack).map((row) => [snapshotter.pathOf(row.id), runsOf(row)]));
    // Merged layers cannot be told apart: all of their times count.
    const runsAt = (layer: number): LayerRuns => {
      const directory = directories[layer] ?? "";
      return runs.has(directory) ? runs.get(directory) : [];
    };
    return this.#open.use(stackView({ native, directories, marks: snapshotter.marks, name: "/", runsOf: runsAt }));
  }
}

function selectorOf(use: InputUse): Selector {
  switch (use.kind) {
    case "copy":
      return copySelector(use.action);
    case "path":
      return pathSelector(use.source);
    case "way":
      return { kind: "way", path: use.path };
    case "parent":
    case "whole":
      throw new Error("Whole trees are not selected from");
    default:
      return unreachable(use);
  }
}
