import { chmodSync, chownSync, mkdirSync, renameSync, statSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { digestOf } from "../../lib/core/digest.ts";
import { BuildError, errnoOf } from "../../lib/core/errors.ts";
import { AT_FDCWD } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import { snapshotId } from "../../lib/store/snapshot-id.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { ActiveSnapshot, Snapshotter, Stack, TreeMount } from "../ports.ts";
import { diskUsage } from "./disk-usage.ts";
import { mergeLayers } from "./merge-layers.ts";
import type { Marks } from "../../lib/tree/overlay-marks.ts";
import { deleteTree, removeTree } from "./remove-tree.ts";
import { dropUnchanged } from "./unchanged.ts";

export interface SnapshotterOptions {
  /** `<store>/snapshots`; made when missing. It is one file system, so that commits are renames. */
  readonly directory: string;
  /** Namespace of overlay marks: `trusted` for the machine's root, `user` inside a user namespace. */
  readonly marks: "trusted" | "user";
  /**
   * Makes a new random name: letters and digits, never the same twice in any process on the store. Short, because with
   * the old mount API the names of all lower directories share one page.
   */
  readonly newId: () => string;
  readonly native: Native;
  /** Holds a directory without a row, so that no collection removes it from now on. */
  readonly hold?: (name: string) => void;
}

/** Overlayfs takes 500 lower directories. Beyond this number, the lowest are merged, this many at a time. */
const MAX_LOWERS = 256;
const MERGED_AT_ONCE = 128;

/**
 * Makes a snapshotter that keeps each snapshot as an overlay upper directory: `<directory>/<id>`. An active layer is
 * `active-<id>/{upper,work}` beside them, and committing it is one rename. It never mounts anything: the runtime mounts
 * inside its own namespace, and file operations read the stacked directories by themselves.
 *
 * The work of every step uses synchronous calls: they take microseconds each, ten times less than through the thread
 * pool.
 */
export function overlaySnapshotter(options: SnapshotterOptions): Snapshotter {
  const { directory, marks, newId, native } = options;
  const pathOf = (id: SnapshotId): string => join(directory, id);

  /** Layers seen to be present: a chain of steps asks for each layer once. */
  const present = new Set<string>();

  /** Returns the directories topmost first, as overlayfs takes them. */
  const lowersOf = async (stack: Stack): Promise<string[]> => {
    const lowers = stack.map(pathOf).toReversed();
    for (const lower of lowers) {
      if (present.has(lower)) continue;
      assertPresent(lower);
      present.add(lower);
    }
    if (lowers.length <= MAX_LOWERS) return lowers;
    // Always the same layers together, from the bottom, so that the steps of a chain share merged directories.
    const count = Math.floor((lowers.length - MERGED_AT_ONCE) / MERGED_AT_ONCE) * MERGED_AT_ONCE;
    const merged: string[] = [];
    for (let at = 0; at < count; at += MERGED_AT_ONCE) {
      const end = lowers.length - at;
      merged.unshift(await mergedOf(lowers.slice(end - MERGED_AT_ONCE, end)));
    }
    return [...lowers.slice(0, lowers.length - count), ...merged];
  };

  /**
   * Returns one directory that shows the same as several layers. It is made once, and again after it has been
   * collected: no row names it.
   */
  const mergedOf = async (layers: readonly string[]): Promise<string> => {
    const name = `merged-${digestOf(layers.map((layer) => basename(layer)).join(" ")).slice("sha256:".length, 40)}`;
    const path = join(directory, name);
    if (present.has(path)) return path;
    options.hold?.(name);
    if (statSync(path, { throwIfNoEntry: false }) === undefined) {
      const making = join(directory, `active-${newId()}`);
      makeOwn(making, 0o755);
      mergeLayers(native, layers, making, marks);
      await renameOnce(making, path, newId, native);
    }
    present.add(path);
    return path;
  };

  return {
    kind: "overlay",
    marks,
    pathOf,

    async prepare(stack, signal) {
      signal.throwIfAborted();
      const lowers = await lowersOf(stack);
      const home = join(directory, `active-${newId()}`);
      const upper = join(home, "upper");
      const work = join(home, "work");
      mkdirSync(directory, { recursive: true });
      makeOwn(home, 0o700);
      for (const path of [upper, work]) mkdirSync(path, { mode: 0o755 });
      copyRootMetadata(lowers[0], upper, native);
      return activeOverlay({ home, upper, work, lowers, marks, commitTo: directory, newId, native });
    },

    async view(stack, signal) {
      signal.throwIfAborted();
      const lowers = await lowersOf(stack);
      // The kernel requires two directories for an overlay without an upper one, and a lone layer may hold whiteouts
      // that must not show: an empty directory below makes up the number.
      const empty = join(directory, "empty");
      if (lowers.length < 2) await mkdir(empty, { recursive: true, mode: 0o755 });
      const mount: TreeMount = {
        kind: "overlay-ro",
        lowers: lowers.length < 2 ? [...lowers, ...(lowers.length === 0 ? [empty, empty] : [empty])] : lowers,
      };
      return {
        directories: lowers.length === 0 ? [empty] : lowers,
        mount: async () => (lowers.length === 0 ? { kind: "directory", path: empty, mode: "ro" } : mount),
        async [Symbol.asyncDispose]() {},
      };
    },

    async receive(id, signal) {
      signal.throwIfAborted();
      await mkdir(directory, { recursive: true });
      const incoming = join(directory, `active-${newId()}`);
      makeOwn(incoming, 0o755);
      let open = true;
      return {
        directory: incoming,
        async commit() {
          open = false;
          await renameOnce(incoming, pathOf(id), newId, native);
        },
        async [Symbol.asyncDispose]() {
          if (!open) return;
          open = false;
          await removeTree(incoming, newId, native);
        },
      };
    },

    remove: (id) => {
      present.delete(pathOf(id));
      return removeTree(pathOf(id), newId, native);
    },

    usage: (id) => diskUsage(native, pathOf(id)),
  };
}

function activeOverlay(options: {
  readonly home: string;
  readonly upper: string;
  readonly work: string;
  readonly lowers: readonly string[];
  readonly marks: Marks;
  readonly commitTo: string;
  readonly newId: () => string;
  readonly native: Native;
}): ActiveSnapshot {
  const { home, upper, work, lowers } = options;
  let open = true;
  let wasMounted = false;
  return {
    directories: [upper, ...lowers],
    writable: upper,
    // Overlayfs needs a lower directory. Without one the upper alone is the whole tree, and needs no whiteouts.
    async mount() {
      if (lowers.length === 0) return { kind: "directory", path: upper, mode: "rw" };
      wasMounted = true;
      return { kind: "overlay", upper, work, lowers };
    },
    async commit(signal) {
      signal.throwIfAborted();
      if (!open) throw new Error("A snapshot was committed twice, or after it was disposed");
      open = false;
      if (wasMounted) dropUnchanged(upper, options);
      const id = snapshotId(options.newId());
      renameSync(upper, join(options.commitTo, id));
      await deleteTree(home, options.native);
      return id;
    },
    async [Symbol.asyncDispose]() {
      if (!open) return;
      open = false;
      await removeTree(home, options.newId, options.native);
    },
  };
}

/** Copies the root's mode and owner from below: an overlay's root shows those of the upper directory. */
function copyRootMetadata(from: string | undefined, upper: string, native: Native): void {
  if (from === undefined) return;
  const { mode, uid, gid } = native.statat(AT_FDCWD, from);
  const made = native.statat(AT_FDCWD, upper);
  if (uid !== made.uid || gid !== made.gid) native.fchownat(AT_FDCWD, upper, uid, gid);
  if ((mode & 0o7777) !== (made.mode & 0o7777)) chmodSync(upper, mode & 0o7777);
}

/**
 * Makes a directory with our own group. The store may lie in a setgid directory, and its group must not become that of
 * an image's files.
 */
export function makeOwn(path: string, mode: number): void {
  mkdirSync(path, { mode });
  chmodSync(path, mode);
  const [uid, gid] = [process.geteuid?.(), process.getegid?.()];
  if (uid === undefined || gid === undefined) return;
  // Only where it is needed: an id that a user namespace does not map cannot be given, not even to whom has it.
  const made = statSync(path);
  if (made.uid !== uid || made.gid !== gid) chownSync(path, uid, gid);
}

function assertPresent(path: string): void {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  throw new BuildError("snapshot/failed", `Cannot use the snapshot ${path}: its directory is gone`, {
    hint: "something outside kiln deleted it; `kiln fsck --repair` forgets it, and the next build makes it again",
  });
}

/**
 * Renames, unless the target exists: two processes may unpack one layer concurrently; names come from the content, so
 * the first one wins.
 */
async function renameOnce(from: string, target: string, newId: () => string, native: Native): Promise<void> {
  try {
    await rename(from, target);
  } catch (error) {
    const code = errnoOf(error);
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
    await removeTree(from, newId, native);
  }
}
