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

/** Files to select or copy from: a local directory, or a stack whose layers are present. */
export type InputTree =
  | { readonly kind: "local"; readonly op: LocalOp }
  | { readonly kind: "stack"; readonly stack: Stack };

export interface FileWorkDeps {
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  readonly snapshots: Pick<Snapshots, "getMany">;
  /** By `LocalOp.name`. */
  readonly locals: ReadonlyMap<string, LocalSource>;
}

/** How often a local directory is looked at while its files come and go. */
export const MAX_SCANS = 5;

/** Which times of a layer's files count: of a base image all do, as in its diffID. */
export function runsOf({ id, runs }: Pick<SnapshotRow, "id" | "runs">): LayerRuns {
  return originOf(id) === "image" ? [] : runs;
}

/** The file operations of one step, over the trees that it opens for them. Disposing closes those trees. */
export class FileWork implements AsyncDisposable {
  readonly #on: FileWorkDeps;
  readonly #open = new AsyncDisposableStack();
  readonly #stacks = new Map<string, Promise<SourceView>>();
  readonly #changed = new Map<string, Selection>();

  constructor(on: FileWorkDeps) {
    this.#on = on;
  }

  /** Contents that were copied, by part, where they differ from what had been selected: files of the client may change at any time. */
  get changed(): ReadonlyMap<string, Selection> {
    return this.#changed;
  }

  /** The name of what a use takes of a local directory. A directory in which files come and go is looked at again. */
  async digestSelection(
    use: InputUse,
    input: LocalOp,
    look: { readonly reading: Reading },
    signal: AbortSignal,
  ): Promise<DigestedSelection> {
    const source = this.#local(input);
    for (let left = MAX_SCANS; ; left -= 1) {
      const view = source.view(input.excludes, input.owners, look.reading);
      try {
        return await digestSelection(view, selectorOf(use), signal);
      } catch (error) {
        signal.throwIfAborted();
        if (left <= 1 || !isMovedSource(error)) throw error;
        source.lookAgain(view);
      }
    }
  }

  /** What a use takes of an input. */
  async select(use: InputUse, input: InputTree, signal: AbortSignal): Promise<Selection> {
    return select(await this.#view(input, signal), selectorOf(use), signal);
  }

  /** Forgets how local directories looked: something in them has moved. */
  lookAgain(inputs: readonly LocalOp[]): void {
    for (const op of inputs) this.#local(op).lookAgain();
  }

  /**
   * Does an op's actions on a tree whose host directories, topmost first, are `directories`; the topmost is written.
   * `inputs` by index of the vertex's inputs; `selected` by the name of the part, for what has been found already. What it
   * finds to be otherwise is then `changed`.
   */
  async run(
    op: FileOp,
    at: {
      readonly directories: readonly string[];
      readonly inputs: readonly (InputTree | undefined)[];
      readonly selected?: ReadonlyMap<string, Selection>;
      /** Names the part of an action; without it, as in a key of a file operation. */
      readonly partOf?: (action: number) => string;
      /** To share files with. */
      readonly earlier?: EarlierResult | undefined;
      /** As of `FileOpInputs`. */
      readonly warn?: (message: string, hint: string) => void;
    },
    signal: AbortSignal,
  ): Promise<void> {
    const { native, snapshotter } = this.#on;
    const { partOf = copyPart } = at;
    const copies = await runFileOp(
      op,
      {
        directories: at.directories,
        marks: snapshotter.marks,
        source: (index) => {
          const input = at.inputs[index];
          if (input === undefined) throw new Error(`File operation without its input ${index}`);
          return this.#view(input, signal);
        },
        selected: (action) => at.selected?.get(partOf(action)),
        warn: at.warn,
        earlier: at.earlier === undefined ? undefined : (target) => at.earlier?.into(target),
      },
      { native },
      signal,
    );
    for (const [action, { actual, changed }] of copies) {
      this.#changed.set(partOf(action), actual);
      const input = op.actions[action];
      const tree = input?.kind === "copy" ? at.inputs[input.input] : undefined;
      if (tree?.kind === "local") this.#local(tree.op).forget(changed);
    }
  }

  /**
   * The layer of an op as a description instead of files, where it has one: see `describeCopy`. `selected` as for `run`.
   * The result is to be closed before this is.
   */
  async describe(
    op: FileOp,
    at: {
      readonly parent: Stack;
      readonly inputs: readonly (InputTree | undefined)[];
      readonly selected: ReadonlyMap<string, Selection>;
      readonly nowNs: bigint;
    },
    signal: AbortSignal,
  ): Promise<DescribedCopy | undefined> {
    const [action] = op.actions;
    const selection = at.selected.get(copyPart(0));
    const input = action?.kind === "copy" ? at.inputs[action.input] : undefined;
    if (selection === undefined || input === undefined) return undefined;
    const { native, snapshotter } = this.#on;
    await using lower = await snapshotter.view(at.parent, signal);
    using tree = new MergedTree({ native, directories: lower.directories, marks: snapshotter.marks });
    return describeCopy(op, { tree, view: await this.#view(input, signal), selection, nowNs: at.nowNs });
  }

  /** A small regular file of a tree, symlinks resolved inside it; `undefined` when there is none. */
  readText(directories: readonly string[], path: string): string | undefined {
    const { native, snapshotter } = this.#on;
    using tree = new MergedTree({ native, directories, marks: snapshotter.marks });
    return tree.readFile(path, MAX_ACCOUNTS_BYTES)?.toString();
  }

  /** Those of the absolute paths at which a tree has nothing, not even a symlink. */
  missing(directories: readonly string[], paths: readonly string[]): string[] {
    const { native, snapshotter } = this.#on;
    using tree = new MergedTree({ native, directories, marks: snapshotter.marks });
    return paths.filter((path) => tree.resolve(path, "keep").missing.length > 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open.disposeAsync();
  }

  async #view(input: InputTree, signal: AbortSignal): Promise<SourceView> {
    if (input.kind === "local") return this.#local(input.op).view(input.op.excludes, input.op.owners);
    const key = input.stack.join(" ");
    let view = this.#stacks.get(key);
    if (view === undefined) this.#stacks.set(key, (view = this.#openStack(input.stack, signal)));
    return view;
  }

  #local(op: LocalOp): LocalSource {
    const source = this.#on.locals.get(op.name);
    if (source === undefined) throw new Error(`No local directory is called ${JSON.stringify(op.name)}`);
    return source;
  }

  async #openStack(stack: Stack, signal: AbortSignal): Promise<SourceView> {
    const { native, snapshotter, snapshots } = this.#on;
    const { directories } = this.#open.use(await snapshotter.view(stack, signal));
    const runs = new Map(snapshots.getMany(stack).map((row) => [snapshotter.pathOf(row.id), runsOf(row)]));
    // Layers that had to be merged are not told apart: all of their times count.
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
