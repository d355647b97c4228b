import type { Native } from "../../src/native/native.ts";
import { copyPart, type InputUse } from "../cache/uses.ts";
import type { FileOp, LocalOp } from "../graph/op.ts";
import { type DescribedCopy, describeCopy } from "../ops/file/described-copy.ts";
import type { EarlierResult } from "../ops/file/earlier-copy.ts";
import { runFileOp } from "../ops/file/run-file-op.ts";
import { stackView } from "../ops/file/stack-view.ts";
import { MergedTree } from "../ops/tree/merged-tree.ts";
import type { SourceView } from "../ops/tree/source-view.ts";
import type { Snapshotter, Stack } from "../ports.ts";
import type { LocalSource } from "../sources/local/local-source.ts";
import { type NamedSelection, nameSelection } from "../sources/local/name-selection.ts";
import { select, type Selection } from "../sources/local/select.ts";
import { copySelector, pathSelector, type Selector } from "../sources/local/selector.ts";

/** Files to select or copy from: a local directory, or a stack whose layers are present. */
export type InputTree =
  | { readonly kind: "local"; readonly op: LocalOp }
  | { readonly kind: "stack"; readonly stack: Stack };

export interface FileWorkDeps {
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  /** By `LocalOp.name`. */
  readonly locals: ReadonlyMap<string, LocalSource>;
}

/** Largest passwd or group file that is read, as in BuildKit. */
const MAX_TEXT_BYTES = 10 * 1024 * 1024;

/** The file operations of one step, over the trees that it opens for them. Disposing closes those trees. */
export class FileWork implements AsyncDisposable {
  readonly #on: FileWorkDeps;
  readonly #open = new AsyncDisposableStack();
  readonly #stacks = new Map<string, Promise<SourceView>>();

  constructor(on: FileWorkDeps) {
    this.#on = on;
  }

  /** The name of what a use takes of a local directory. */
  async name(use: InputUse, input: LocalOp, signal: AbortSignal): Promise<NamedSelection> {
    const view = await this.#view({ kind: "local", op: input }, signal);
    return nameSelection(view, selectorOf(use), signal);
  }

  /** What a use takes of an input. */
  async select(use: InputUse, input: InputTree, signal: AbortSignal): Promise<Selection> {
    return select(await this.#view(input, signal), selectorOf(use), signal);
  }

  /**
   * Does an op's actions on a tree whose host directories, topmost first, are `directories`; the topmost is written.
   * `inputs` by index of the vertex's inputs; `selected` by the name of the part, for what has been found already.
   */
  async run(
    op: FileOp,
    at: {
      readonly directories: readonly string[];
      readonly inputs: readonly (InputTree | undefined)[];
      readonly selected?: ReadonlyMap<string, Selection>;
      /** To share files with. */
      readonly earlier?: EarlierResult | undefined;
    },
    signal: AbortSignal,
  ): Promise<void> {
    const { native, snapshotter } = this.#on;
    await runFileOp(
      op,
      {
        directories: at.directories,
        marks: snapshotter.marks,
        source: (index) => {
          const input = at.inputs[index];
          if (input === undefined) throw new Error(`File operation without its input ${index}`);
          return this.#view(input, signal);
        },
        selected: (action) => at.selected?.get(copyPart(action)),
        earlier: at.earlier === undefined ? undefined : (target) => at.earlier?.into(target),
      },
      { native },
      signal,
    );
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
    return tree.readFile(path, MAX_TEXT_BYTES)?.toString();
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
    if (input.kind === "local") {
      const source = this.#on.locals.get(input.op.name);
      if (source === undefined) throw new Error(`No local directory is called ${JSON.stringify(input.op.name)}`);
      return source.view(input.op.excludes, input.op.owners);
    }
    const key = input.stack.join(" ");
    let view = this.#stacks.get(key);
    if (view === undefined) this.#stacks.set(key, (view = this.#openStack(input.stack, signal)));
    return view;
  }

  async #openStack(stack: Stack, signal: AbortSignal): Promise<SourceView> {
    const { native, snapshotter } = this.#on;
    const { directories } = this.#open.use(await snapshotter.view(stack, signal));
    return this.#open.use(stackView({ native, directories, marks: snapshotter.marks, name: "/" }));
  }
}

function selectorOf(use: InputUse): Selector {
  switch (use.kind) {
    case "copy":
      return copySelector(use.action);
    case "path":
      return pathSelector(use.source);
    default:
      throw new Error("Whole trees are not selected from");
  }
}
