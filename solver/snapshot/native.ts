import type { Snapshotter, TreeMount } from "../ports.ts";
import { overlaySnapshotter } from "./overlay.ts";
import { type WorkingTree, WorkingTrees, type WorkingTreeOptions } from "./working-tree.ts";

export interface NativeSnapshotterOptions extends WorkingTreeOptions {
  /** Asked whether the runtime makes do with the layers of a tree that is only read, and needs no copy of it. */
  readsLayers?(signal: AbortSignal): Promise<boolean>;
  /** Asked when a command is to see a tree of several layers: false leaves it to overlayfs. Absent is always. */
  isNeeded?(signal: AbortSignal): Promise<boolean>;
}

/**
 * For machines where overlayfs cannot be mounted. Snapshots and file operations are the overlay snapshotter's, so that
 * packing and the store know no difference; but a command works in a whole tree, which is copied for the first one of a chain (sharing bytes where the file system
 * can), and what the command changed is found afterwards by comparing. Disposing removes the trees.
 */
export function nativeSnapshotter(options: NativeSnapshotterOptions): Snapshotter & AsyncDisposable {
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
