import { BuildError } from "../../../lib/core/errors.ts";
import { S_IFDIR, S_ISGID } from "../../../lib/native/constants.ts";
import { printableName } from "../../../lib/native/names.ts";
import type { FileStatus, Native } from "../../../lib/native/native.ts";
import { wholeSecond } from "../../../lib/tar/entry.ts";
import { isReservedName, reservedName } from "../../../lib/tar/reserved.ts";
import { isOverlayMark, isWhiteout, makeWhiteout, markOpaque } from "../../../lib/tree/overlay-marks.ts";
import { directoriesOn, ownAttributes } from "../../../lib/tree/directories-on.ts";
import type { Directory, Entry, MergedTree } from "../../../lib/tree/merged-tree.ts";

/** Index of the written layer; those after it are only read. */
const UPPER = 0;

/** Owner, permissions and time of a new file. */
export interface NewMetadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** `undefined` is the time of writing. */
  readonly mtimeNs: bigint | undefined;
}

/**
 * Owner and mode of new parent directories. Without an owner they belong to root, and to the group that mkdir(2) gives
 * them.
 */
export interface ParentMetadata {
  readonly mode: number;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  readonly mtimeNs: bigint | undefined;
}

/** The tree below a layer that is made separately. */
export interface Below {
  readonly tree: MergedTree;
  /** Receives paths with another kind of file there. */
  readonly covers: (path: string, entry: Entry) => void;
}

/**
 * Returns the metadata of a new directory: in a setgid one it is setgid as well and inherits the group, unless another
 * owner is given: inode_init_owner(9).
 */
export function inheriting(parent: Pick<FileStatus, "mode" | "gid">, wanted: ParentMetadata): NewMetadata {
  const { mode, owner, mtimeNs } = wanted;
  const isSetgid = (parent.mode & S_ISGID) !== 0;
  return {
    mode: isSetgid ? mode | S_ISGID : mode,
    uid: owner?.uid ?? 0,
    gid: owner?.gid ?? (isSetgid ? parent.gid : 0),
    mtimeNs,
  };
}

/**
 * The tree that a step changes: all writes go to the topmost directory, as with an overlayfs mount, and the layers
 * below stay as they are. A directory that exists only below is made again above with its metadata before a file is put
 * into it; a file that exists only below is hidden by a new file of its name, or by a whiteout.
 *
 * Directories that already existed keep their times: putting a file into one changes the step's layer, not the
 * directory. All times are whole seconds, like those of a layer's tar: a later step must not see whether the layer has
 * been transferred. Call `finish` at the end: it sets the times that writing has changed, and makes directories setgid;
 * until then the kernel must not pass their group to the files copied into them.
 */
export class Destination {
  readonly tree: MergedTree;
  readonly native: Native;
  /** Times to set after all writing, by path; `undefined` for the time of writing. */
  readonly #times = new Map<string, bigint | undefined>();
  /** Modes of setgid directories, by path. */
  readonly #modes = new Map<string, number>();

  readonly #below: Below | undefined;

  /** `below`: the tree below a layer that is made separately. */
  constructor(tree: MergedTree, below?: Below) {
    this.#below = below;
    this.tree = tree;
    this.native = tree.native;
    if (below === undefined) return;
    // The root's metadata is the topmost layer's.
    const { mode, uid, gid } = below.tree.root.status;
    this.native.fchownat(this.upperFd, "", uid, gid);
    this.native.fchmodat(this.upperFd, "", mode & 0o7777);
  }

  /** Descriptor of the written directory. */
  get upperFd(): number {
    return this.tree.layerFd(UPPER);
  }

  /**
   * Returns the descriptor of a directory in the upper layer, which is made there when only lower layers have it. Valid
   * until the next call.
   */
  upperOf(directory: Directory): number {
    const [top] = directory.parts;
    if (top === undefined) throw new Error("A directory without parts");
    if (top.layer === UPPER) {
      this.#keepTime(directory);
      return this.tree.partFd(directory, top);
    }
    if (directory.parent === undefined) throw new Error("The root has no upper part");
    this.#copyUp(directory, directory.parent, this.tree.partFd(directory, top));
    return this.upperOf(directory);
  }

  /** Makes a parent directory with the metadata it has below. */
  #likeBelow(parent: Directory, name: string): Directory | undefined {
    if (this.#below === undefined) return undefined;
    const { tree } = this.#below;
    const path = join(parent, name);
    const steps = directoriesOn(tree, path);
    const like = steps[steps.length - 1]?.directory;
    if (like?.path !== path) return undefined;
    const made = this.makeDirectory(parent, name, like.status);
    const fd = this.upperOf(parent);
    for (const [key, value] of ownAttributes(tree, like)) this.native.setXattr(fd, name, key, value);
    return made;
  }

  /** Reports a new file in the place of another kind of file below. */
  noteBelow(path: string, kind: "directory" | "file"): void {
    if (this.#below === undefined) return;
    const steps = directoriesOn(this.#below.tree, path);
    const last = steps[steps.length - 1];
    const names = path.split("/").length;
    if (last === undefined || steps.length !== names) return;
    if ((last.directory !== undefined) !== (kind === "directory")) this.#below.covers(path, last.entry);
  }

  /** Makes a directory where none of its name is visible. */
  makeDirectory(parent: Directory, name: string, metadata: NewMetadata): Directory {
    this.noteBelow(join(parent, name), "directory");
    if (isReservedName(name)) throw reservedName(join(parent, name));
    const fd = this.upperOf(parent);
    const hidesLower = this.#clearWhiteout(parent, fd, name);
    this.native.mkdirat(fd, name, 0o700);
    if (metadata.uid !== 0 || metadata.gid !== 0) this.native.fchownat(fd, name, metadata.uid, metadata.gid);
    const path = join(parent, name);
    this.#setMode(fd, name, path, metadata.mode);
    if (hidesLower && this.tree.marks !== undefined) markOpaque(this.native, fd, name, this.tree.marks);
    const status = this.#newStatus(S_IFDIR, metadata);
    const made: Directory = {
      path,
      parent,
      status,
      parts: [{ layer: UPPER, fd: undefined }],
      children: new Map(),
      match: undefined,
      isFresh: true,
    };
    this.tree.replace(parent, name, { name, status, layer: UPPER, directory: made });
    this.#times.set(path, metadata.mtimeNs);
    return made;
  }

  /** Changes an existing directory's permissions, owner and time, in this layer. */
  changeDirectory(directory: Directory, metadata: NewMetadata): void {
    const fd = this.upperOf(directory);
    this.native.fchownat(fd, "", metadata.uid, metadata.gid);
    this.#setMode(fd, "", directory.path, metadata.mode);
    this.setTime(directory, metadata.mtimeNs);
  }

  /** Sets a directory's time at the end, whatever is written into it until then. */
  setTime(directory: Directory, mtimeNs: bigint | undefined): void {
    this.upperOf(directory);
    if (mtimeNs !== undefined) this.#times.set(directory.path, mtimeNs);
  }

  /**
   * Frees a name for a file that is not a directory, and returns the upper directory for it.
   * @throws {BuildError} `solver/copy-failed` when a directory has the name; `image/reserved` when it is a whiteout's
   */
  claim(parent: Directory, name: string): number {
    if (isReservedName(name)) throw reservedName(join(parent, name));
    // In a directory made by this very step, a name that is not remembered does not exist: the kernel need not be
    // asked.
    const existing = parent.isFresh === true && !parent.children.has(name) ? undefined : this.tree.child(parent, name);
    if (existing?.directory !== undefined) {
      throw new BuildError(
        "solver/copy-failed",
        `Cannot replace the directory ${shown(join(parent, name))} with a file`,
        { hint: "end the destination in / to put the file into the directory" },
      );
    }
    const fd = this.upperOf(parent);
    if (existing?.layer === UPPER) this.native.unlinkat(fd, name);
    else if (parent.isFresh !== true) this.#clearWhiteout(parent, fd, name);
    return fd;
  }

  /** Records a file that was, or is about to be, made in the upper directory. */
  noteFile(parent: Directory, name: string, type: number, metadata: NewMetadata): void {
    const status = this.#newStatus(type, metadata);
    this.tree.replace(parent, name, { name, status, layer: UPPER, directory: undefined });
  }

  /** Removes a file or a whole directory from the tree. */
  remove(parent: Directory, entry: Entry): void {
    const fd = this.upperOf(parent);
    const inUpper = entry.directory === undefined ? entry.layer === UPPER : entry.directory.parts[0]?.layer === UPPER;
    this.tree.replace(parent, entry.name, undefined);
    if (inUpper) this.native.removeTreeSync(fd, entry.name);
    if (entry.directory !== undefined) this.#forgetLast(entry.directory.path);
    if (this.tree.marks !== undefined && this.#existsBelow(parent, entry.name)) {
      makeWhiteout(this.native, fd, entry.name, this.tree.marks);
    }
  }

  /** Makes the missing directories of a path. */
  makeParents(from: Directory, missing: readonly string[], metadata: ParentMetadata): Directory {
    let at = from;
    for (const name of missing)
      at = this.#likeBelow(at, name) ?? this.makeDirectory(at, name, inheriting(at.status, metadata));
    return at;
  }

  /** Sets metadata that would have hindered writing, then the times of directories, which writing changed. */
  finish(): void {
    for (const [path, mode] of this.#modes) {
      const fd = this.#upperAt(path);
      if (fd !== undefined) this.native.fchmodat(fd, "", mode);
    }
    for (const [path, mtimeNs] of this.#times) {
      const fd = this.#upperAt(path);
      if (fd !== undefined) this.native.utimensat(fd, "", wholeSecond(mtimeNs ?? this.native.statat(fd, "").mtimeNs));
    }
    this.#modes.clear();
    this.#times.clear();
  }

  #upperAt(path: string): number | undefined {
    const directory = path === "" ? this.tree.root : this.tree.directoryAt(path);
    const [top] = directory?.parts ?? [];
    return directory === undefined || top?.layer !== UPPER ? undefined : this.tree.partFd(directory, top);
  }

  #setMode(dirfd: number, name: string, path: string, mode: number): void {
    if ((mode & S_ISGID) === 0) this.#modes.delete(path);
    else this.#modes.set(path, mode & 0o7777);
    this.native.fchmodat(dirfd, name, mode & 0o7777 & ~S_ISGID);
  }

  #copyUp(directory: Directory, parent: Directory, lowerFd: number): void {
    const { status } = directory;
    // Read before opening the parent: that may close this descriptor.
    const xattrs = this.native
      .listXattrs(lowerFd, ".")
      .filter((key) => !isOverlayMark(key))
      .map((key) => ({ key, value: this.native.getXattr(lowerFd, ".", key) }));
    const name = directory.path.slice(directory.path.lastIndexOf("/") + 1);
    const fd = this.upperOf(parent);
    this.native.mkdirat(fd, name, 0o700);
    this.native.fchownat(fd, name, status.uid, status.gid);
    this.#setMode(fd, name, directory.path, status.mode);
    for (const { key, value } of xattrs) {
      if (value !== undefined) this.native.setXattr(fd, name, key, value);
    }
    directory.parts.unshift({ layer: UPPER, fd: undefined });
    this.#keepTime(directory);
  }

  /** Remembers a directory's time before a write into it. */
  #keepTime(directory: Directory): void {
    if (directory.isFresh === true || this.#times.has(directory.path)) return;
    this.#times.set(directory.path, directory.status.mtimeNs);
    // The root exists from the beginning.
    const { mode } = directory.status;
    const isSetgid = (mode & S_ISGID) !== 0 && !this.#modes.has(directory.path);
    const [top] = directory.parts;
    if (isSetgid && top?.layer === UPPER) this.#setMode(this.tree.partFd(directory, top), "", directory.path, mode);
  }

  /** Removes a whiteout of ours; returns whether a directory in its place must hide something below. */
  #clearWhiteout(parent: Directory, fd: number, name: string): boolean {
    const { marks } = this.tree;
    if (marks === undefined || parent.isFresh === true) return false;
    const status = this.native.tryStatat(fd, name);
    if (status !== undefined && isWhiteout(this.native, fd, name, status, marks)) {
      this.native.unlinkat(fd, name);
      return true;
    }
    return this.#existsBelow(parent, name);
  }

  /** Tells whether a lower layer shows something under a name. */
  #existsBelow(parent: Directory, name: string): boolean {
    const { marks } = this.tree;
    for (const part of parent.parts) {
      if (part.layer === UPPER) continue;
      const fd = this.tree.partFd(parent, part);
      const status = this.native.tryStatat(fd, name);
      if (status === undefined) continue;
      return marks === undefined || !isWhiteout(this.native, fd, name, status, marks);
    }
    return false;
  }

  #forgetLast(path: string): void {
    for (const known of this.#times.keys()) {
      if (known === path || known.startsWith(`${path}/`)) this.#times.delete(known);
    }
    for (const known of this.#modes.keys()) {
      if (known === path || known.startsWith(`${path}/`)) this.#modes.delete(known);
    }
  }

  #newStatus(type: number, metadata: NewMetadata): FileStatus {
    return {
      mode: type | (metadata.mode & 0o7777),
      uid: metadata.uid,
      gid: metadata.gid,
      size: 0,
      mtimeNs: metadata.mtimeNs ?? 0n,
      ctimeNs: 0n,
      ino: 0n,
      dev: 0,
      rdevMajor: 0,
      rdevMinor: 0,
      nlink: 1,
      diskBytes: 0,
    };
  }
}

export function join(directory: Directory, name: string): string {
  return directory.path === "" ? name : `${directory.path}/${name}`;
}

/** Returns a path inside the image as people write it. */
export function shown(path: string): string {
  return JSON.stringify(`/${printableName(path)}`);
}
