import { readdirSync, statSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { snapshotId } from "../../lib/store/snapshot-id.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import { applyLayer } from "../../lib/tree/apply-layer.ts";
import { takeBorrowed } from "../../lib/tree/borrowed.ts";
import { copyMerged } from "../../lib/tree/copy-tree.ts";
import { stampAfter } from "../../lib/tree/kernel-clock.ts";
import { rewindTree } from "../../lib/tree/rewind-tree.ts";
import type { Stack } from "../ports.ts";
import { takeDifference } from "./difference.ts";
import { type KeptTree, KeptTrees } from "./kept-trees.ts";
import { makeOwn, type SnapshotterOptions } from "./overlay.ts";
import { deleteTree, removeTree } from "./remove-tree.ts";
import { latestChangeNs, type RecordedTree, recordTree, refreshTreeState, type TreeState } from "./tree-state.ts";

/** Cost of a copy of a whole tree. */
export interface CopyCost {
  readonly files: number;
  readonly sizeBytes: number;
  readonly wallMs: number;
}

export interface WorkingTreeOptions extends SnapshotterOptions {
  /** Name of this start of the machine. Trees are left for later processes only where it is known. */
  readonly bootId?: () => string | undefined;
  readonly nowMs?: () => number;
  /** Told of each whole copy. */
  readonly onCopied?: ((cost: CopyCost) => void) | undefined;
  /** Receives the path of a file that a command changed through one of several names when it is unknown which one. */
  readonly onAmbiguousLink?: ((path: string) => void) | undefined;
}

/** A whole tree in one directory, for one command at a time to write into. */
export interface WorkingTree extends AsyncDisposable {
  readonly root: string;
  /** Stores the command's changes as a snapshot, and keeps the tree for the next command. */
  commit(signal: AbortSignal): Promise<SnapshotId>;
}

/** An unused tree. */
interface IdleTree {
  readonly home: string;
  readonly stack: Stack;
  /** True after a step: its changes were moved out of the tree and are only in the topmost layer. */
  readonly lacksTop: boolean;
  /** The tree when it still had the changes. */
  readonly recorded: RecordedTree;
}

/** Limit of trees that are kept for a next command. Each is a whole copy on the disk. */
const MAX_IDLE = 4;
/** Limit of trees in a store that wait for a later process. */
const MAX_KEPT = 2;

/**
 * The trees in which commands work. For the first command on a base image the whole tree is copied; the next command
 * continues in the previous one's tree, updated with the layers in between. A tree serves one command at a time, so one
 * of two branches makes a copy.
 *
 * A tree is private to this process while it is used: one that a step has left half changed is removed, and a killed process
 * leaves garbage under a name that says so. At the end the last tree of each base is left for a later process, which takes out
 * of it what its own steps do not begin with.
 */
export class WorkingTrees implements AsyncDisposable {
  readonly #options: WorkingTreeOptions;
  readonly #idle: IdleTree[] = [];
  #kept: KeptTrees | undefined;

  constructor(options: WorkingTreeOptions) {
    this.#options = options;
  }

  /**
   * Takes the tree of a stack for changes.
   * @param directories of the stack, topmost first
   */
  async take(stack: Stack, directories: readonly string[], signal: AbortSignal): Promise<WorkingTree> {
    const idle = this.#claim(stack);
    return (
      (idle && (await this.#continue(idle, stack, signal))) ??
      (await this.#inherit(stack, signal)) ??
      this.copy(stack, directories, signal)
    );
  }

  /** Makes a new copy of the tree of a stack. */
  async copy(stack: Stack, directories: readonly string[], signal: AbortSignal): Promise<WorkingTree> {
    const { nowMs, onCopied } = this.#options;
    const startedMs = nowMs?.() ?? 0;
    const home = await this.#copy(directories, signal);
    const wallMs = (nowMs?.() ?? 0) - startedMs;
    const recorded = recordTree(this.#options.native, join(home, "root"));
    onCopied?.({ ...sizeOf(recorded.files), wallMs });
    return this.#work(home, stack, recorded);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const bases = new Set<string>();
    for (const tree of this.#idle.splice(0).toReversed()) {
      const [base] = tree.stack;
      if (base !== undefined && !bases.has(base) && bases.size < MAX_KEPT && this.#leave(tree)) bases.add(base);
      else await deleteTree(tree.home, this.#options.native);
    }
    if (bases.size > 0) await this.#limitKept();
  }

  /** The store's trees of other processes; `undefined` where nothing may outlive a process. */
  #keptTrees(): KeptTrees | undefined {
    const bootId = this.#options.bootId?.();
    if (bootId !== undefined) this.#kept ??= new KeptTrees({ ...this.#options, bootId });
    return this.#kept;
  }

  #leave({ home, stack }: IdleTree): boolean {
    const kept = this.#keptTrees();
    kept?.keep(home, stack, this.#options.newId());
    return kept !== undefined;
  }

  async #limitKept(): Promise<void> {
    const { directory, newId, native } = this.#options;
    const names = this.#keptTrees()?.names() ?? [];
    const aged = names.flatMap((name) => {
      const found = statSync(join(directory, name), { throwIfNoEntry: false });
      return found === undefined ? [] : [{ name, ctimeMs: found.ctimeMs }];
    });
    const old = aged.toSorted((left, right) => right.ctimeMs - left.ctimeMs).slice(MAX_KEPT);
    for (const { name } of old) await removeTree(join(directory, name), newId, native);
  }

  /** Claims the tree that has most of the stack already. */
  #claim(stack: Stack): IdleTree | undefined {
    const fitting = this.#idle.filter((tree) => tree.stack.every((id, index) => stack[index] === id));
    const [best] = fitting.toSorted((left, right) => right.stack.length - left.stack.length);
    if (best !== undefined) this.#idle.splice(this.#idle.indexOf(best), 1);
    return best;
  }

  /**
   * Updates a tree for its next step; `undefined` when that failed and the tree is gone. A copy then reports the
   * problem, if there still is one.
   */
  async #continue(tree: IdleTree, stack: Stack, signal: AbortSignal): Promise<WorkingTree | undefined> {
    const { native, marks, directory } = this.#options;
    const { home, recorded } = tree;
    const root = join(home, "root");
    try {
      for (const id of stack.slice(tree.stack.length - (tree.lacksTop ? 1 : 0))) {
        const applied = await applyLayer(native, { layer: join(directory, id), marks, to: root }, signal);
        refreshTreeState(native, root, { state: recorded.files, applied });
      }
      return await this.#work(home, stack, recorded);
    } catch {
      await deleteTree(home, native);
      signal.throwIfAborted();
      return undefined;
    }
  }

  /**
   * Takes over the tree of an earlier process that has most layers in common, and takes out of it what is not in `stack`;
   * `undefined` where there is none, or where it cannot be trusted.
   */
  async #inherit(stack: Stack, signal: AbortSignal): Promise<WorkingTree | undefined> {
    const { directory, newId, native } = this.#options;
    const kept = this.#keptTrees();
    const fitting = kept?.list().filter((tree) => commonLayers(tree.stack, stack) > 0) ?? [];
    const best = fitting.toSorted(
      (left, right) => commonLayers(right.stack, stack) - commonLayers(left.stack, stack),
    )[0];
    if (best === undefined) return undefined;
    const home = join(directory, `active-${newId()}`);
    if (kept?.claim(best, home) !== true) return undefined;
    try {
      // What stood for mounts in it belongs to the place of the earlier process.
      for (const name of readdirSync(home)) if (name !== "root") await deleteTree(join(home, name), native);
      const tree = await this.#rewind(best, { home, stack }, signal);
      const found = tree && (await this.#continue(tree, stack, signal));
      if (found !== undefined) return found;
    } catch {
      // A copy is made, and reports the problem if there still is one.
    }
    await deleteTree(home, native);
    signal.throwIfAborted();
    return undefined;
  }

  /** `undefined` where the tree has changed since, or where what the dropped layers hold is not known any more. */
  async #rewind(
    kept: KeptTree,
    { home, stack }: { readonly home: string; readonly stack: Stack },
    signal: AbortSignal,
  ): Promise<IdleTree | undefined> {
    const { directory, marks, native } = this.#options;
    const root = join(home, "root");
    const recorded = recordTree(native, root);
    if (latestChangeNs(recorded.files) > kept.untilNs) return undefined;
    const common = commonLayers(kept.stack, stack);
    const dropped = kept.stack.slice(common).map((id) => join(directory, id));
    const directories = stack
      .slice(0, common)
      .map((id) => join(directory, id))
      .toReversed();
    if (dropped.length === 0) return { home, stack: kept.stack, lacksTop: true, recorded };
    await rewindTree(native, { to: root, dropped, directories, marks }, signal);
    // A collection moves a layer away before it removes any of it.
    if (dropped.some((layer) => statSync(layer, { throwIfNoEntry: false }) === undefined)) return undefined;
    return { home, stack: stack.slice(0, common), lacksTop: false, recorded: recordTree(native, root) };
  }

  async #copy(directories: readonly string[], signal: AbortSignal): Promise<string> {
    const { directory, marks, newId, native } = this.#options;
    const home = join(directory, `active-${newId()}`);
    await mkdir(directory, { recursive: true });
    makeOwn(home, 0o700);
    try {
      await mkdir(join(home, "root"), { mode: 0o755 });
      await copyMerged(native, { directories, marks, to: join(home, "root") }, signal);
      return home;
    } catch (error) {
      await deleteTree(home, native);
      throw error;
    }
  }

  async #work(home: string, stack: Stack, recorded: RecordedTree): Promise<WorkingTree> {
    const { directory, marks, newId, native, onAmbiguousLink } = this.#options;
    const root = join(home, "root");
    const startedNs = await stampAfter(home, latestChangeNs(recorded.files));
    let open = true;
    return {
      root,
      commit: async (signal) => {
        signal.throwIfAborted();
        if (!open) throw new Error("A snapshot was committed twice, or after it was disposed");
        const difference = join(home, "difference");
        await mkdir(difference);
        const borrowed = takeBorrowed(home);
        const lowers = stack.map((below) => join(directory, below)).toReversed();
        const taken = { native, marks, root, difference, recorded, lowers, startedNs, borrowed };
        const ambiguous = await takeDifference(taken);
        for (const path of ambiguous) onAmbiguousLink?.(path);
        const id = snapshotId(newId());
        await rename(difference, join(directory, id));
        open = false;
        await this.#keep({ home, stack: [...stack, id], lacksTop: true, recorded });
        return id;
      },
      async [Symbol.asyncDispose]() {
        if (!open) return;
        open = false;
        await removeTree(home, newId, native);
      },
    };
  }

  async #keep(tree: IdleTree): Promise<void> {
    this.#idle.push(tree);
    const [oldest] = this.#idle;
    if (this.#idle.length <= MAX_IDLE || oldest === undefined) return;
    this.#idle.shift();
    await deleteTree(oldest.home, this.#options.native);
  }
}

/** Counts the lowest layers that two stacks share. */
function commonLayers(left: Stack, right: Stack): number {
  const different = left.findIndex((id, index) => right[index] !== id);
  return different === -1 ? left.length : different;
}

function sizeOf(state: TreeState): Pick<CopyCost, "files" | "sizeBytes"> {
  let sizeBytes = 0;
  for (const { size } of state.values()) sizeBytes += size;
  return { files: state.size - 1, sizeBytes };
}
