import { AT_FDCWD, O_DIRECTORY, O_PATH, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../lib/native/constants.ts";
import { SystemError } from "../../lib/native/errno.ts";
import type { Native } from "../../lib/native/native.ts";
import { isReservedDevice, reservedDevice } from "../../lib/tar/reserved.ts";
import type { Borrowed } from "../../lib/tree/borrowed.ts";
import { makeWhiteout, markOpaque, type Marks } from "../../lib/tree/overlay-marks.ts";
import { LowerLayers } from "./unchanged.ts";
import { adoptChanges, findChanges, type TreeChanges } from "./tree-changes.ts";
import { birthTimeNs, type FileState, isDirectoryState, type RecordedTree, type TreeState } from "./tree-state.ts";

export interface DifferenceOptions {
  readonly native: Native;
  readonly marks: Marks;
  /** The whole tree; nothing changes it any more. */
  readonly root: string;
  /** An empty directory on the same file system. */
  readonly difference: string;
  /** The tree before the command. Afterwards it records the tree as it was before the difference was moved out of it. */
  readonly recorded: RecordedTree;
  /** The layers that the tree was made of, topmost first. */
  readonly lowers: readonly string[];
  /** A change time later than all that are recorded; the tree did not change between the two. */
  readonly startedNs: bigint;
  /** Absent where the command had mounts. */
  readonly borrowed: Borrowed | undefined;
}

/**
 * Moves everything that changed since the record out of a tree, with its parent directories, and marks deletions: the
 * result equals overlayfs's upper directory. The tree lacks it afterwards (`applyLayer` brings it back); the two share
 * no file.
 * @returns files with several names of which the changed one is unknown: overlayfs would have changed one name only
 */
export async function takeDifference(options: DifferenceOptions): Promise<readonly string[]> {
  const difference = new Difference(options);
  try {
    return await difference.take();
  } finally {
    difference.close();
  }
}

class Difference {
  readonly #options: DifferenceOptions;
  readonly #native: Native;
  readonly #before: TreeState;
  readonly #changes: TreeChanges;
  readonly #rootFd: number;
  readonly #diffFd: number;
  readonly #lowers: LowerLayers;
  /** New directories, or those in place of another kind of file: nothing below shows through them. */
  readonly #fresh = new Set<string>();
  readonly #made = new Map<string, FileState>();

  constructor(options: DifferenceOptions) {
    this.#options = options;
    this.#native = options.native;
    this.#before = options.recorded.files;
    this.#changes = findChanges(options.native, options.root, options.recorded);
    this.#rootFd = options.native.openPath(options.root, O_PATH | O_DIRECTORY);
    this.#diffFd = options.native.openPath(options.difference, O_PATH | O_DIRECTORY);
    this.#lowers = new LowerLayers(options);
  }

  async take(): Promise<readonly string[]> {
    const { marks, recorded } = this.#options;
    const native = this.#native;
    const { seen, removed } = this.#changes;
    for (const [path, state] of seen) if (path !== "" && isDirectoryState(state)) this.#addDirectory(path, state);
    const linked = new Map<bigint, string[]>();
    for (const [path, state] of seen) {
      if (isDirectoryState(state)) continue;
      if (state.nlink > 1 || (this.#before.get(path)?.nlink ?? 1) > 1)
        linked.set(state.ino, [...(linked.get(state.ino) ?? []), path]);
      else if (this.#isChanged(path, state)) this.#move(path, state);
    }
    this.#completeLinks(linked);
    const ambiguous: string[] = [];
    for (const paths of linked.values()) if (await this.#addLinked(paths)) ambiguous.push(...paths.slice(0, 1));
    for (const path of removed) {
      if (!this.#isMerged(parentOf(path))) continue;
      this.#ensure(parentOf(path));
      makeWhiteout(native, this.#diffFd, path, marks);
    }
    for (const [path, { mtimeNs }] of [...this.#made].toReversed()) native.utimensat(this.#diffFd, path, mtimeNs);
    const root = native.statat(this.#rootFd, "");
    native.fchownat(AT_FDCWD, this.#options.difference, root.uid, root.gid);
    native.fchmodat(AT_FDCWD, this.#options.difference, root.mode & 0o7777);
    adoptChanges(recorded, this.#changes);
    return ambiguous;
  }

  close(): void {
    this.#native.close(this.#rootFd);
    this.#native.close(this.#diffFd);
    this.#lowers[Symbol.dispose]();
  }

  /** A file of the tree after the command; `undefined` where there is none. */
  #after(path: string): FileState | undefined {
    const { seen, removed } = this.#changes;
    return seen.get(path) ?? (removed.has(path) ? undefined : this.#before.get(path));
  }

  #stateAt(path: string): FileState {
    const found = this.#after(path);
    if (found === undefined) throw new Error(`${path} is not in the tree`);
    return found;
  }

  #addDirectory(path: string, state: FileState): void {
    const { root, startedNs } = this.#options;
    const was = this.#before.get(path);
    const isTouched = was?.ctimeNs !== state.ctimeNs && this.#isOwnChange(path, was, state);
    const isMerged =
      this.#isMerged(parentOf(path)) &&
      was !== undefined &&
      isDirectoryState(was) &&
      was.ino === state.ino &&
      // An inode's number is reused soon after a directory was removed.
      (!isTouched || birthTimeNs(root, path) < startedNs);
    if (!isMerged) this.#fresh.add(path);
    if (isMerged && !isTouched && !changesMetadata(was, state)) return;
    if (isMerged && this.#isAsBelow(path, was, state)) return;
    this.#ensure(path);
    if (!isMerged && was !== undefined && this.#isMerged(parentOf(path))) {
      markOpaque(this.#native, this.#diffFd, path, this.#options.marks);
    }
  }

  /**
   * Tells whether a change of a directory is the command's, not that of a mount point put into it and removed again.
   */
  #isOwnChange(path: string, was: FileState | undefined, state: FileState): boolean {
    const { borrowed } = this.#options;
    if (borrowed !== undefined) return !borrowed.paths.has(path) && !borrowed.directories.has(path);
    // Mount points come and go without a record, but leave the time as it was.
    return was?.mtimeNs !== state.mtimeNs;
  }

  /** Tells whether lower layers show through a directory. */
  #isMerged(path: string): boolean {
    const state = this.#after(path);
    return path === "" || (state !== undefined && isDirectoryState(state) && !this.#fresh.has(path));
  }

  #isChanged(path: string, state: FileState): boolean {
    if (!this.#isMerged(parentOf(path))) return true;
    const was = this.#before.get(path);
    if (was?.ino !== state.ino || isDirectoryState(was)) return true;
    // A file that was moved aside during the command is unchanged, though the kernel gave it a new change time.
    if (this.#options.borrowed?.paths.has(path) === true) return false;
    if (was.ctimeNs === state.ctimeNs && !changesMetadata(was, state) && was.size === state.size) return false;
    return !this.#isAsBelow(path, was, state);
  }

  /** Tells whether only the change time of a file is new. */
  #isAsBelow(path: string, was: FileState, state: FileState): boolean {
    if (changesMetadata(was, state) || was.mtimeNs !== state.mtimeNs || was.nlink !== state.nlink) return false;
    return this.#lowers.has(this.#rootFd, path, state);
  }

  /** Adds names in places where nothing changed to those of files that were seen. */
  #completeLinks(linked: Map<bigint, string[]>): void {
    const { seen, removed } = this.#changes;
    const lacking = new Set<bigint>();
    for (const [inode, paths] of linked) if (paths.length < this.#stateAt(paths[0] ?? "").nlink) lacking.add(inode);
    if (lacking.size === 0) return;
    for (const [path, { ino, mode }] of this.#before) {
      if (!lacking.has(ino) || (mode & S_IFMT) === S_IFDIR || seen.has(path) || removed.has(path)) continue;
      linked.get(ino)?.push(path);
    }
  }

  /**
   * Adds the changes of a file with several names. Overlayfs gives a changed name of a lower file a file of its own; in
   * one tree all names change. Where only the names changed, the file is copied for the new ones.
   */
  async #addLinked(paths: readonly string[]): Promise<boolean> {
    const before = this.#before;
    const changed = paths.filter((path) => this.#isChanged(path, this.#stateAt(path)));
    if (changed.length === 0) return false;
    const [first = ""] = paths;
    const state = this.#stateAt(first);
    const old = paths.filter((path) => this.#namesBefore(path, state) > 0 && this.#isMerged(parentOf(path)));
    const was = before.get(old[0] ?? "");
    if (was === undefined || this.#namesBefore(old[0] ?? "", state) < 2) {
      await this.#takeNew(paths, state);
      return false;
    }
    const isOther = changesMetadata(was, state) || was.size !== state.size || was.mtimeNs !== state.mtimeNs;
    const added = paths.filter((path) => !old.includes(path));
    const hasLost = old.length < was.nlink;
    if (!isOther && (added.length > 0 || hasLost)) {
      // A missing name is the origin of the new names: by a link, or a rename.
      const [kept, ...others] = hasLost ? added : [...old.slice(0, 1), ...added];
      if (kept === undefined) return false;
      await this.#copy(kept, state);
      for (const path of others) this.#link(kept, path);
      return false;
    }
    for (const path of old) await this.#copy(path, state);
    for (const path of added) this.#link(old[0] ?? "", path);
    return old.length > 1;
  }

  /**
   * Takes a file with all its names. One that has a name outside of the tree too, in a cache mount, is copied: who writes
   * to that name later would change the layer. What stays in the tree goes when the layer is put over it.
   */
  async #takeNew(paths: readonly string[], state: FileState): Promise<void> {
    const [first = "", ...others] = paths;
    if (paths.length === state.nlink) {
      for (const path of paths) this.#move(path, state);
      return;
    }
    await this.#copy(first, state);
    for (const path of others) this.#link(first, path);
  }

  /** Counts the earlier names of a file that is still the same under this one; 0 for another file. */
  #namesBefore(path: string, { ino, mode }: FileState): number {
    const was = this.#before.get(path);
    return was?.ino === ino && (was.mode & S_IFMT) === (mode & S_IFMT) ? was.nlink : 0;
  }

  #move(path: string, state: FileState): void {
    if (isReserved(state)) throw reservedDevice(path);
    this.#ensure(parentOf(path));
    this.#native.renameat(this.#rootFd, path, this.#diffFd, path);
  }

  #link(first: string, path: string): void {
    this.#ensure(parentOf(path));
    this.#native.linkat(this.#diffFd, first, this.#diffFd, path);
  }

  async #copy(path: string, state: FileState): Promise<void> {
    const native = this.#native;
    if (isReserved(state)) throw reservedDevice(path);
    this.#ensure(parentOf(path));
    const type = state.mode & S_IFMT;
    if (type === S_IFREG) {
      const [result = 0] = await native.copyFiles(this.#rootFd, this.#diffFd, {
        from: [path],
        to: [path],
        modes: Uint32Array.of(state.mode & 0o7777),
        uids: Uint32Array.of(state.uid),
        gids: Uint32Array.of(state.gid),
        mtimesNs: BigInt64Array.of(state.mtimeNs),
      });
      if (result < 0) throw new SystemError(result, "copy", path, path);
      this.#copyXattrs(path);
      return;
    }
    if (type === S_IFLNK) native.symlinkat(native.readlinkat(this.#rootFd, path), this.#diffFd, path);
    else native.mknodat(this.#diffFd, path, type | 0o600, state.device);
    native.fchownat(this.#diffFd, path, state.uid, state.gid);
    if (type !== S_IFLNK) native.fchmodat(this.#diffFd, path, state.mode & 0o7777);
    this.#copyXattrs(path);
    native.utimensat(this.#diffFd, path, state.mtimeNs);
  }

  /** Makes a directory of the difference as in the tree, its parents first. Its time is set once it is full. */
  #ensure(path: string): void {
    if (path === "" || this.#made.has(path)) return;
    this.#ensure(parentOf(path));
    const state = this.#stateAt(path);
    this.#native.mkdirat(this.#diffFd, path, 0o700);
    this.#native.fchownat(this.#diffFd, path, state.uid, state.gid);
    this.#native.fchmodat(this.#diffFd, path, state.mode & 0o7777);
    this.#copyXattrs(path);
    this.#made.set(path, state);
  }

  #copyXattrs(path: string): void {
    for (const key of this.#native.listXattrs(this.#rootFd, path)) {
      const value = this.#native.getXattr(this.#rootFd, path, key);
      if (value !== undefined) this.#native.setXattr(this.#diffFd, path, key, value);
    }
  }
}

function changesMetadata(was: FileState, is: FileState): boolean {
  return was.mode !== is.mode || was.uid !== is.uid || was.gid !== is.gid;
}

function isReserved({ mode, device }: FileState): boolean {
  return isReservedDevice(mode, device);
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}
