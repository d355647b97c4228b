import { ftruncateSync } from "node:fs";
import { BuildError, errnoOf } from "../core/errors.ts";
import {
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
} from "../native/constants.ts";
import { describeErrno, SystemError } from "../native/errno.ts";
import type { FileStatus, Native } from "../native/native.ts";
import { NO_XATTRS, type TarEntry } from "./entry.ts";
import { FileBatch, representable } from "./file-batch.ts";
import { malformed } from "./header-read.ts";
import { type Marks, OWNER_XATTR } from "./layer-entries.ts";
import { memberPath, splitParent } from "./unpack-path.ts";
import { isMarkName, readMarkName, Whiteouts } from "./whiteouts.ts";

/** `keep` as archived; `fixed` for all. */
export type OwnerPolicy =
  | { readonly kind: "keep" }
  | { readonly kind: "fixed"; readonly uid: number; readonly gid: number };

export interface TreeWriterOptions {
  readonly native: Native;
  readonly directory: string;
  /** Form of whiteouts; `undefined` when `.wh.` names are plain files. */
  readonly marks: Marks | undefined;
  readonly owner: OwnerPolicy;
}

const SMALL = 128 << 10;
const MAX_SYMLINKS = 40;
const IMPLIED = {
  type: "directory",
  mode: 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeNs: 0n,
  linkName: "",
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: NO_XATTRS,
} as const;

/**
 * Makes a tree from members in any order: parents that are missing are made, a later member replaces an earlier one, metadata of
 * directories is set at the very end. Names are resolved by the kernel with the target as `/`, so a symlink that an
 * archive plants cannot lead anything outside. Small files are written in batches on another thread; whatever might depend
 * on their order waits for them first.
 */
export class TreeWriter implements AsyncDisposable {
  readonly #native: Native;
  readonly #root: number;
  readonly #options: TreeWriterOptions;
  /** `undefined` when `.wh.` names are plain files. */
  readonly #whiteouts: Whiteouts | undefined;
  readonly #own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  /** Paths known to lead to a directory inside the root, by symlinks perhaps. */
  readonly #directories = new Set<string>([""]);
  /** Directories to be finished, by path as archived. */
  readonly #unfinished = new Map<string, TarEntry>();
  readonly #implied = new Set<string>();
  readonly #skippedDevices: string[] = [];
  #parent: { readonly path: string; readonly fd: number } | undefined;
  #batch: FileBatch;
  #spare: FileBatch;
  #writing: Promise<void> = Promise.resolve();
  #large: { readonly fd: number; readonly entry: TarEntry } | undefined;

  constructor(options: TreeWriterOptions) {
    this.#options = options;
    this.#native = options.native;
    this.#root = options.native.openPath(options.directory, O_RDONLY | O_DIRECTORY);
    const { native, marks } = options;
    this.#whiteouts = marks === undefined ? undefined : new Whiteouts(native, this.#root, marks);
    this.#batch = new FileBatch(SMALL);
    this.#spare = new FileBatch(SMALL);
  }

  isSmall(sizeBytes: number): boolean {
    return sizeBytes <= SMALL;
  }

  /** Starts a small file. Its bytes follow by `smallData` and `smallHole`, then `endSmall`. */
  beginSmall(entry: TarEntry): Promise<void> | undefined {
    const path = memberPath(entry.path);
    if (this.#isMark(path)) return this.#mark(path);
    this.#refuseRoot(path, entry);
    this.#ensureDirectory(splitParent(path)[0], 0);
    if (this.#batch.hasRoom(entry.size)) {
      this.#batch.begin(path, entry, this.#ownerOf(entry));
      return undefined;
    }
    return this.#swap().then(() => this.#batch.begin(path, entry, this.#ownerOf(entry)));
  }

  smallData(bytes: Buffer): void {
    this.#batch.data(bytes);
  }

  smallHole(sizeBytes: number): void {
    this.#batch.hole(sizeBytes);
  }

  endSmall(): void {
    this.#batch.end();
  }

  /** Creates a large file for the caller to write; `endLarge` closes it. `undefined` for a whiteout that claims to have content. */
  async beginLarge(entry: TarEntry): Promise<number | undefined> {
    const path = memberPath(entry.path);
    if (this.#isMark(path)) {
      await this.#mark(path);
      return undefined;
    }
    this.#refuseRoot(path, entry);
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    const fd = await this.#make(path, (parent, name) => this.#native.openat2(parent, name, { flags, mode: 0o600 }));
    this.#large = { fd, entry };
    return fd;
  }

  /** Large files are written in order, so nothing needs waiting; a promise only to look like the rest. */
  async endLarge(sizeBytes: number): Promise<void> {
    const large = this.#large;
    this.#large = undefined;
    if (large === undefined) return;
    try {
      ftruncateSync(large.fd, sizeBytes);
      const { uid, gid } = this.#ownerOf(large.entry);
      if (uid !== this.#own.uid || gid !== this.#own.gid) this.#native.fchownat(large.fd, "", uid, gid);
      this.#native.fchmodat(large.fd, "", large.entry.mode);
      this.#setAttributes(large.fd, "", large.entry);
      this.#native.utimensat(large.fd, "", representable(large.entry.mtimeNs));
    } finally {
      this.#native.close(large.fd);
    }
  }

  /** Makes anything that is not a regular file. */
  async add(entry: TarEntry): Promise<void> {
    const path = memberPath(entry.path);
    if (this.#isMark(path) && entry.type !== "directory") return this.#mark(path);
    if (entry.type === "directory") return this.#addDirectory(path, entry);
    this.#refuseRoot(path, entry);
    switch (entry.type) {
      case "link":
        return this.#addLink(path, entry);
      case "symlink":
        await this.#make(path, (parent, name) => this.#native.symlinkat(entry.linkName, parent, name));
        return this.#setMetadata(path, entry);
      case "char":
      case "block":
      case "fifo":
        return this.#addSpecial(path, entry);
      case "file":
        throw new Error("a file is added by its content");
    }
  }

  /** Writes what is pending and finishes the directories. */
  async finish(): Promise<{
    readonly impliedDirectories: readonly string[];
    readonly skippedDevices: readonly string[];
  }> {
    await this.#flush();
    // From the deepest up: a directory that its final mode closes is not entered again.
    const paths = [...this.#unfinished.keys()].toSorted().toReversed();
    for (const path of paths) {
      const entry = this.#unfinished.get(path);
      if (entry !== undefined) this.#setMetadata(path, entry);
    }
    return { impliedDirectories: [...this.#implied].toSorted(), skippedDevices: this.#skippedDevices };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The threads that write hold the root's descriptor: it must not be closed, and perhaps used anew, under them.
    await this.#writing.catch(() => undefined);
    if (this.#large !== undefined) this.#native.close(this.#large.fd);
    this.#forgetParent();
    this.#native.close(this.#root);
  }

  async #addDirectory(path: string, entry: TarEntry): Promise<void> {
    if (path !== "" && this.#isPending(path)) await this.#flush();
    const known = path === "" || (this.#directories.has(path) && this.#isRealDirectory(path));
    if (!known) {
      const [parent, name] = splitParent(path);
      this.#ensureDirectory(parent, 0);
      const existing = this.#native.tryStatat(this.#parentFd(parent), name);
      if (existing === undefined) this.#native.mkdirat(this.#parentFd(parent), name, 0o700);
      else if (!isDirectory(existing)) await this.#replaceByDirectory(path, existing);
    }
    this.#directories.add(path);
    this.#implied.delete(path);
    this.#unfinished.set(path, entry);
  }

  /** A directory over this layer's own whiteout hides what lower layers have there: that is what opaque means. */
  async #replaceByDirectory(path: string, existing: FileStatus): Promise<void> {
    await this.#flush();
    const [parent, name] = splitParent(path);
    const hides = this.#isWhiteout(path, existing);
    this.#remove(path);
    this.#native.mkdirat(this.#parentFd(parent), name, 0o700);
    if (hides) this.#whiteouts?.setOpaque(path);
  }

  async #addLink(path: string, entry: TarEntry): Promise<void> {
    await this.#flush();
    const target = memberPath(entry.linkName);
    if (target === path) return;
    const [targetParent, targetName] = splitParent(target);
    const resolve = RESOLVE_IN_ROOT;
    const missing = (cause?: unknown): BuildError =>
      new BuildError(
        "archive/malformed",
        `Cannot unpack "${path.toWellFormed()}": it is a hard link to "${target.toWellFormed()}", which is no file before it in the archive`,
        { cause },
      );
    let fd: number;
    try {
      fd = this.#native.openat2(this.#root, targetParent === "" ? "." : targetParent, {
        flags: O_PATH | O_DIRECTORY,
        resolve,
      });
    } catch (error) {
      throw missing(error);
    }
    try {
      const status = targetName === "" ? undefined : this.#native.tryStatat(fd, targetName);
      if (status === undefined || isDirectory(status) || this.#isWhiteout(target, status)) throw missing();
      await this.#make(path, (parent, name) => this.#native.linkat(fd, targetName, parent, name));
    } finally {
      this.#native.close(fd);
    }
  }

  async #addSpecial(path: string, entry: TarEntry): Promise<void> {
    const kind = entry.type === "char" ? S_IFCHR : entry.type === "block" ? S_IFBLK : S_IFIFO;
    const device = { major: entry.deviceMajor, minor: entry.deviceMinor };
    try {
      await this.#make(path, (parent, name) => this.#native.mknodat(parent, name, kind | 0o600, device));
    } catch (error) {
      // In a user namespace nobody may make devices. Images that carry some work without.
      if (errnoOf(error) !== "EPERM" || entry.type === "fifo") throw error;
      this.#skippedDevices.push(path);
      return;
    }
    this.#setMetadata(path, entry);
  }

  /** Calls `create` on (parent, name); when something is there already, removes it and calls once more. */
  async #make<T>(path: string, create: (parentFd: number, name: string) => T): Promise<T> {
    const [parent, name] = splitParent(path);
    if (this.#isPending(path)) await this.#flush();
    this.#ensureDirectory(parent, 0);
    try {
      return create(this.#parentFd(parent), name);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
    // Small files not yet written may lie below what is about to go.
    await this.#flush();
    this.#remove(path);
    this.#ensureDirectory(parent, 0);
    return create(this.#parentFd(parent), name);
  }

  /** Whether a small file of this path is still to be written. */
  #isPending(path: string): boolean {
    return this.#batch.has(path) || this.#spare.has(path);
  }

  #refuseRoot(path: string, entry: TarEntry): void {
    if (path === "") throw malformed(`"${entry.path.toWellFormed()}" is not a directory`);
  }

  #isMark(path: string): boolean {
    return this.#whiteouts !== undefined && isMarkName(path);
  }

  /** OCI image-spec, layer.md: a whiteout hides what lower layers have, never what this one has. */
  async #mark(path: string): Promise<void> {
    const [parent] = splitParent(path);
    const mark = readMarkName(path);
    if (mark.kind === "ignored") return;
    if (mark.kind === "opaque") {
      this.#ensureDirectory(parent, 0);
      this.#whiteouts?.setOpaque(parent);
      return;
    }
    const { hidden } = mark;
    const target = parent === "" ? hidden : `${parent}/${hidden}`;
    if (this.#isPending(target)) return;
    this.#ensureDirectory(parent, 0);
    const existing = this.#native.tryStatat(this.#parentFd(parent), hidden);
    if (existing === undefined) this.#whiteouts?.make(this.#parentFd(parent), parent, hidden);
    else if (isDirectory(existing)) this.#whiteouts?.setOpaque(target);
  }

  #isWhiteout(path: string, status: FileStatus): boolean {
    const [parent, name] = splitParent(path);
    return this.#whiteouts?.isOne(this.#parentFd(parent), name, status) === true;
  }

  /** Makes `path` lead to a directory, following symlinks inside the root. */
  #ensureDirectory(path: string, depth: number): void {
    if (this.#directories.has(path)) return;
    const [parent, name] = splitParent(path);
    this.#ensureDirectory(parent, depth);
    const existing = this.#native.tryStatat(this.#parentFd(parent), name);
    if (existing !== undefined && this.#isWhiteout(path, existing)) {
      this.#native.unlinkat(this.#parentFd(parent), name);
      this.#imply(path);
      this.#whiteouts?.setOpaque(path);
      return;
    }
    if (existing === undefined && !this.#isPending(path)) {
      this.#imply(path);
      return;
    }
    try {
      this.#native.close(
        this.#native.openat2(this.#root, path, { flags: O_PATH | O_DIRECTORY, resolve: RESOLVE_IN_ROOT }),
      );
    } catch (error) {
      const target =
        existing !== undefined && errnoOf(error) === "ENOENT"
          ? this.#native.readlinkat(this.#parentFd(parent), name)
          : undefined;
      if (target === undefined || depth >= MAX_SYMLINKS) {
        throw malformed(`"${path.toWellFormed()}" is used as a directory and is none`);
      }
      // A symlink to a directory that only lower layers have.
      this.#ensureDirectory(memberPath(target.startsWith("/") ? target : `${parent}/${target}`), depth + 1);
    }
    this.#directories.add(path);
  }

  #imply(path: string): void {
    const [parent, name] = splitParent(path);
    this.#native.mkdirat(this.#parentFd(parent), name, 0o700);
    this.#directories.add(path);
    this.#implied.add(path);
    this.#unfinished.set(path, { ...IMPLIED, path });
  }

  #isRealDirectory(path: string): boolean {
    const [parent, name] = splitParent(path);
    const status = this.#native.tryStatat(this.#parentFd(parent), name);
    return status !== undefined && isDirectory(status);
  }

  /** A descriptor of the directory, kept until another one is asked for: members come grouped by directory. */
  #parentFd(path: string): number {
    if (path === "") return this.#root;
    if (this.#parent?.path === path) return this.#parent.fd;
    this.#forgetParent();
    const fd = this.#native.openat2(this.#root, path, { flags: O_PATH | O_DIRECTORY, resolve: RESOLVE_IN_ROOT });
    this.#parent = { path, fd };
    return fd;
  }

  #forgetParent(): void {
    if (this.#parent !== undefined) this.#native.close(this.#parent.fd);
    this.#parent = undefined;
  }

  #remove(path: string): void {
    const [parent, name] = splitParent(path);
    this.#native.removeTreeSync(this.#parentFd(parent), name);
    this.#forgetParent();
    const below = `${path}/`;
    for (const set of [this.#directories, this.#unfinished, this.#implied]) {
      for (const known of set.keys()) if (known === path || known.startsWith(below)) set.delete(known);
    }
    // Paths that led here by a symlink are looked at again when they are next used.
    for (const known of this.#directories) {
      if (known !== "" && !this.#unfinished.has(known)) this.#directories.delete(known);
    }
  }

  async #flush(): Promise<void> {
    await this.#swap();
    await this.#writing;
  }

  /** Waits for the batch before, starts this one, and leaves an empty one to fill. */
  async #swap(): Promise<void> {
    await this.#writing;
    const batch = this.#batch;
    if (batch.count === 0) return;
    this.#batch = this.#spare;
    this.#spare = batch;
    this.#writing = this.#write(batch);
    // Whoever awaits `#writing` sees the failure; this only keeps it from counting as unhandled until then.
    this.#writing.catch(() => undefined);
  }

  async #write(batch: FileBatch): Promise<void> {
    const results = await this.#native.writeFiles(this.#root, batch.toWrite(RESOLVE_IN_ROOT));
    for (const [index, result] of results.entries()) {
      const path = batch.pathAt(index);
      if (result === -17 /* EEXIST */) {
        this.#remove(path);
        const [again = 0] = this.#native.writeFilesSync(this.#root, batch.toWriteOne(index, RESOLVE_IN_ROOT));
        if (again < 0) throw failure(path, again);
      } else if (result < 0) throw failure(path, result);
    }
    for (const [path, entry] of batch.withAttributes()) {
      const [parent, name] = splitParent(path);
      this.#setAttributes(this.#parentFd(parent), name, entry);
    }
    batch.clear();
  }

  /** Owner, then mode (a change of owner takes setuid away), then attributes (so it does capabilities), then times. */
  #setMetadata(path: string, entry: TarEntry): void {
    const [parent, name] = splitParent(path);
    const fd = this.#parentFd(parent);
    const { uid, gid } = this.#ownerOf(entry);
    if (uid !== this.#own.uid || gid !== this.#own.gid) this.#native.fchownat(fd, name, uid, gid);
    if (entry.type !== "symlink") this.#native.fchmodat(fd, name, entry.mode);
    this.#setAttributes(fd, name, entry);
    this.#native.utimensat(fd, name, representable(entry.mtimeNs));
  }

  #setAttributes(fd: number, name: string, entry: TarEntry): void {
    for (const [key, value] of entry.xattrs) {
      // Marks are ours to set: a layer that could would show or hide files of other layers.
      if (/^(?:trusted|user)\.overlay\./.test(key) || key === OWNER_XATTR) continue;
      this.#trySetXattr(fd, name, key, value);
    }
  }

  /** What the file system or the lack of privilege refuses is left out, as every runtime does. */
  #trySetXattr(fd: number, name: string, key: string, value: Buffer): void {
    try {
      this.#native.setXattr(fd, name, key, value);
    } catch (error) {
      const code = errnoOf(error);
      if (code !== "ENOTSUP" && code !== "EPERM") throw error;
    }
  }

  #ownerOf(entry: TarEntry): { readonly uid: number; readonly gid: number } {
    const { owner } = this.#options;
    return owner.kind === "keep" ? entry : owner;
  }
}

function isDirectory(status: FileStatus): boolean {
  return (status.mode & S_IFMT) === S_IFDIR;
}

function failure(path: string, errno: number): BuildError {
  const [code, text] = describeErrno(errno);
  return new BuildError(
    code === "ENOSPC" || code === "EDQUOT" ? "store/full" : "snapshot/failed",
    `Cannot unpack "${path.toWellFormed()}": ${text}`,
    {
      cause: new SystemError(errno, "open", path),
      // What the kernel says of an owner that is in no map.
      hint:
        code === "EINVAL"
          ? 'its owner may not exist in this user namespace; "kiln doctor" says how to get subordinate ids'
          : undefined,
    },
  );
}
