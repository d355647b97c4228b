import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { AT_FDCWD, O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import { isReservedDevice, reservedDevice } from "../../lib/tar/reserved.ts";
import { makeWhiteout } from "../../lib/tree/overlay-marks.ts";
import type { Snapshotter, TreeMount } from "../ports.ts";
import { readBorrowed } from "../../lib/tree/borrowed.ts";
import { copyMerged } from "../../lib/tree/copy-tree.ts";
import { makeOwn, overlaySnapshotter, type SnapshotterOptions } from "./overlay.ts";
import { deleteTree, removeTree } from "./remove-tree.ts";

export interface NativeSnapshotterOptions extends SnapshotterOptions {
  /** Asked when a command is to see a tree of several layers: false leaves it to overlayfs. Absent is always. */
  isNeeded?(signal: AbortSignal): Promise<boolean>;
}

/**
 * For machines where overlayfs cannot be mounted. Snapshots and file operations are the overlay snapshotter's, so that
 * packing and the store know no difference; but for a command the whole tree is copied first (sharing bytes where the
 * file system can), and what the command changed is found afterwards by comparing. That costs time and space in
 * proportion to the tree, for every RUN.
 */
export function nativeSnapshotter(options: NativeSnapshotterOptions): Snapshotter {
  const plain = overlaySnapshotter(options);
  const isNeeded = async (mount: TreeMount, signal: AbortSignal): Promise<boolean> =>
    mount.kind !== "directory" && ((await options.isNeeded?.(signal)) ?? true);

  return {
    ...plain,
    kind: "native",

    async prepare(stack, signal) {
      const layers = await plain.prepare(stack, signal);
      let copy: ActiveCopy | undefined;
      return {
        directories: layers.directories,
        get writable() {
          return copy?.root ?? layers.writable;
        },
        async mount(inner) {
          const mount = await layers.mount(inner);
          if (!(await isNeeded(mount, inner))) return mount;
          copy ??= await copyForCommand(layers.directories, options, inner);
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
      let copy: ActiveCopy | undefined;
      return {
        directories: layers.directories,
        async mount(inner) {
          const mount = await layers.mount(inner);
          if (!(await isNeeded(mount, inner))) return mount;
          copy ??= await copyForCommand(layers.directories, options, inner);
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

/** A whole tree in one directory, for a command to write into. */
interface ActiveCopy extends AsyncDisposable {
  readonly root: string;
  /** Keeps the difference under a new id. */
  commit(signal: AbortSignal): Promise<SnapshotId>;
}

async function copyForCommand(
  directories: readonly string[],
  options: NativeSnapshotterOptions,
  signal: AbortSignal,
): Promise<ActiveCopy> {
  const { directory, marks, newId, native } = options;
  const home = join(directory, `active-${newId()}`);
  const root = join(home, "root");
  await mkdir(directory, { recursive: true });
  makeOwn(home, 0o700);
  await mkdir(root, { mode: 0o755 });
  try {
    await copyMerged(native, { directories, marks, to: root }, signal);
  } catch (error) {
    await deleteTree(home, native);
    throw error;
  }
  const before = stateOf(native, root);
  let open = true;
  return {
    root,
    async commit(inner) {
      inner.throwIfAborted();
      if (!open) throw new Error("A snapshot was committed twice, or after it was disposed");
      open = false;
      const difference = join(home, "difference");
      await mkdir(difference);
      moveChanges(options, { root, difference, before, borrowed: readBorrowed(home) });
      const id = newId() as SnapshotId;
      await rename(difference, join(directory, id));
      await deleteTree(home, native);
      return id;
    },
    async [Symbol.asyncDispose]() {
      if (!open) return;
      open = false;
      await removeTree(home, newId, native);
    },
  };
}

/** Of each path, what changes when the file does: the inode and its change time, which nobody can set. */
function stateOf(native: Native, root: string): ReadonlyMap<string, string> {
  const scan = scanOf(native, root);
  const { columns, count } = scan;
  const states = new Map<string, string>();
  for (let row = 1; row < count; row += 1) {
    const isDirectory = ((columns.mode[row] ?? 0) & S_IFMT) === S_IFDIR;
    // A directory's times change with what is in it, and its inode's number may come back when it is made again. Whether it
    // changed itself is told by mode and owner; what was in it is compared file by file.
    const device = { major: columns.rdevMajor[row] ?? 0, minor: columns.rdevMinor[row] ?? 0 };
    const kind = isReservedDevice(columns.mode[row] ?? 0, device) ? "reserved" : "f";
    states.set(
      scan.path(row),
      isDirectory
        ? `d ${columns.mode[row]} ${columns.uid[row]} ${columns.gid[row]}`
        : `${kind} ${columns.ino[row]} ${columns.ctimeNs[row]}`,
    );
  }
  return states;
}

/**
 * Moves what has changed since `before` out of the tree, with the directories it is in, and marks what is gone: the same
 * difference that overlayfs would have left in an upper directory. The rest of the tree is of no use afterwards.
 */
function moveChanges(
  options: NativeSnapshotterOptions,
  at: {
    readonly root: string;
    readonly difference: string;
    readonly before: ReadonlyMap<string, string>;
    readonly borrowed: ReadonlySet<string>;
  },
): void {
  const { native, marks } = options;
  const after = stateOf(native, at.root);
  const rootFd = native.openPath(at.root, O_PATH | O_DIRECTORY);
  const diffFd = native.openPath(at.difference, O_PATH | O_DIRECTORY);
  try {
    const times = new Map<string, bigint>();
    const ensure = (path: string): void => {
      if (path === "" || times.has(path)) return;
      ensure(parentOf(path));
      const status = native.statat(rootFd, path);
      native.mkdirat(diffFd, path, 0o700);
      native.fchownat(diffFd, path, status.uid, status.gid);
      native.fchmodat(diffFd, path, status.mode & 0o7777);
      for (const key of native.listXattrs(rootFd, path)) {
        const value = native.getXattr(rootFd, path, key);
        if (value !== undefined) native.setXattr(diffFd, path, key, value);
      }
      times.set(path, status.mtimeNs);
    };
    const rootStatus = native.statat(rootFd, "");
    for (const [path, state] of after) {
      if (state.startsWith("d") && at.before.get(path) !== state) ensure(path);
    }
    for (const [path, state] of after) {
      if (state.startsWith("d") || at.before.get(path) === state || isGivenBack(at, path, state)) continue;
      if (state.startsWith("reserved")) throw reservedDevice(path);
      ensure(parentOf(path));
      // Times of parents are read before the move changes them: `ensure` has done so.
      native.renameat(rootFd, path, diffFd, path);
    }
    for (const path of at.before.keys()) {
      if (after.has(path) || !stillThere(after, parentOf(path))) continue;
      ensure(parentOf(path));
      makeWhiteout(native, diffFd, path, marks);
    }
    for (const [path, mtimeNs] of [...times].toReversed()) native.utimensat(diffFd, path, mtimeNs);
    native.fchownat(AT_FDCWD, at.difference, rootStatus.uid, rootStatus.gid);
    native.fchmodat(AT_FDCWD, at.difference, rootStatus.mode & 0o7777);
  } finally {
    native.close(rootFd);
    native.close(diffFd);
  }
}

/** A file that was put aside for the command's time is itself again, though the kernel gave it a new change time. */
function isGivenBack(
  at: { readonly before: ReadonlyMap<string, string>; readonly borrowed: ReadonlySet<string> },
  path: string,
  state: string,
): boolean {
  return at.borrowed.has(path) && at.before.get(path)?.split(" ")[1] === state.split(" ")[1];
}

/** A whiteout goes into the topmost directory that is left; one below a whiteout, or into a file, means nothing. */
function stillThere(after: ReadonlyMap<string, string>, parent: string): boolean {
  return parent === "" || after.get(parent)?.startsWith("d") === true;
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}

function scanOf(native: Native, root: string): ReturnType<Native["scanTreeSync"]> {
  const fd = native.openPath(root, O_PATH | O_DIRECTORY);
  try {
    return native.scanTreeSync(fd);
  } finally {
    native.close(fd);
  }
}
