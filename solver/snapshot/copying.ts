import type { Snapshotter, TreeMount } from "../ports.ts";
import { overlaySnapshotter } from "./overlay.ts";
import { type WorkingTree, WorkingTrees, type WorkingTreeOptions } from "./working-tree.ts";

export interface CopyingSnapshotterOptions extends WorkingTreeOptions {
  /** Tells whether the runtime can read the layers of a read-only tree directly, without a copy. */
  readsLayers?(signal: AbortSignal): Promise<boolean>;
  /** Called before a command gets a tree of several layers: false means overlayfs is used. Absent means always. */
  isNeeded?(signal: AbortSignal): Promise<boolean>;
}

/**
 * Makes a snapshotter for machines that cannot mount overlayfs. Snapshots and file operations are the overlay
 * snapshotter's, so packing and the store see no difference. But a command works in a whole tree: it is copied for the
 * first command of a chain (sharing bytes where the file system can), and the command's changes are found afterwards by
 * comparison. Disposing removes the trees.
 */
export function copyingSnapshotter(options: CopyingSnapshotterOptions): Snapshotter & AsyncDisposable {
  const plain = overlaySnapshotter(options);
  const trees = new WorkingTrees(options);
  const isNeeded = async (mount: TreeMount, signal: AbortSignal): Promise<boolean> =>
    mount.kind !== "directory" && ((await options.isNeeded?.(signal)) ?? true);

  return {
    ...plain,
    kind: "native",
    [Symbol.asyncDispose]: () => trees[Symbol.asyncDispose](),

    async prepare(stack, signal) {
      const layers = await plain.prepare(stack, signal);
      let copy: WorkingTree | undefined;
      return {
        directories: layers.directories,
        get writable() {
          return copy?.root ?? layers.writable;
        },
        async mount(inner) {
          const mount = await layers.mount(inner);
          if (!(await isNeeded(mount, inner))) return mount;
          copy ??= await trees.take(stack, layers.directories, inner);
          return { kind: "directory", path: copy.root, mode: "rw" };
        },
        commit: (inner) => (copy === undefined ? layers.commit(inner) : copy.commit(inner)),
        async [Symbol.asyncDispose]() {
          await copy?.[Symbol.asyncDispose]();
          await layers[Symbol.asyncDispose]();
        },
      };
    },

    async view(stack, signal) {
      const layers = await plain.view(stack, signal);
      let copy: WorkingTree | undefined;
      return {
        directories: layers.directories,
        async mount(inner) {
          const mount = await layers.mount(inner);
          if (!(await isNeeded(mount, inner)) || (await options.readsLayers?.(inner)) === true) return mount;
          copy ??= await trees.copy(stack, layers.directories, inner);
          return { kind: "directory", path: copy.root, mode: "ro" };
        },
        async [Symbol.asyncDispose]() {
          await copy?.[Symbol.asyncDispose]();
          await layers[Symbol.asyncDispose]();
        },
      };
    },
  };
}
