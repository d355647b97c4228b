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
  S_IFIFO,
} from "../native/constants.ts";
import { describeErrno, SystemError } from "../native/errno.ts";
import type { FileStatus, Native } from "../native/native.ts";
import type { TarEntry } from "./entry.ts";
import { FileBatch } from "./file-batch.ts";
import type { Marks } from "./marks.ts";
import { isReservedDevice, reservedDevice } from "./reserved.ts";
import { isDirectory, TreeDirectories } from "./tree-directories.ts";
import { type OwnerPolicy, TreeMetadata } from "./tree-metadata.ts";
import { memberPath, splitParent } from "./unpack-path.ts";
import { LINK_TARGETS, type MemberRole, readMarkName, roleOf, Whiteouts } from "./whiteouts.ts";

export interface TreeWriterOptions {
  readonly native: Native;
  readonly directory: string;
  /** Form of whiteouts; `undefined` when `.wh.` names are plain files. */
  readonly marks: Marks | undefined;
  readonly owner: OwnerPolicy;
  /** See `UnpackOptions`. */
  readonly reserved?: "refuse" | "keep";
}

const SMALL = 128 << 10;

/**
 * A tree made from members in any order: missing parents are made, a later member replaces an earlier one, metadata of
 * directories is set at the very end. The kernel resolves names with the target as `/`, so an archive's symlink cannot
 * lead outside. Small files are written in batches on another thread; operations that depend on their order wait for
 * them first.
 */
export class TreeWriter implements AsyncDisposable {
  readonly #native: Native;
  readonly #root: number;
  /** `undefined` when `.wh.` names are plain files. */
  readonly #whiteouts: Whiteouts | undefined;
  readonly #metadata: TreeMetadata;
  readonly #directories: TreeDirectories;
  readonly #reserved: TreeWriterOptions["reserved"];
  readonly #skippedDevices: string[] = [];
  #batch: FileBatch;
  #spare: FileBatch;
  #writing: Promise<void> = Promise.resolve();
  #large: { readonly fd: number; readonly entry: TarEntry } | undefined;

  constructor(options: TreeWriterOptions) {
    const { native, marks } = options;
    this.#native = native;
    this.#reserved = options.reserved;
    this.#root = native.openPath(options.directory, O_RDONLY | O_DIRECTORY);
    this.#metadata = new TreeMetadata(native, options.owner);
    this.#whiteouts = marks === undefined ? undefined : new Whiteouts(native, this.#root, marks);
    this.#directories = new TreeDirectories({
      native,
      root: this.#root,
      whiteouts: this.#whiteouts,
      isPending: (path) => this.#isPending(path),
    });
    this.#batch = new FileBatch(SMALL);
    this.#spare = new FileBatch(SMALL);
  }

  isSmall(sizeBytes: number): boolean {
    return sizeBytes <= SMALL;
  }

  /** Starts a small file. Its bytes follow by `smallData` and `smallHole`, then `endSmall`. */
  beginSmall(entry: TarEntry): Promise<void> | undefined {
    const path = memberPath(entry.path);
    const role = this.#roleOf(path);
    if (role === "mark") return this.#mark(path);
    if (role === "bookkeeping" || isRoot(path)) return undefined;
    this.#directories.ensure(splitParent(path)[0]);
    if (this.#batch.hasRoom(entry.size)) {
      this.#batch.begin(path, entry, this.#metadata.ownerOf(entry));
      return undefined;
    }
    return this.#swap().then(() => this.#batch.begin(path, entry, this.#metadata.ownerOf(entry)));
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

  /**
   * Creates a large file for the caller to write; `endLarge` closes it. `undefined` for one that has no place in the
   * tree.
   */
  async beginLarge(entry: TarEntry): Promise<number | undefined> {
    const path = memberPath(entry.path);
    const role = this.#roleOf(path);
    if (role === "mark") await this.#mark(path);
    if (role === "mark" || role === "bookkeeping" || isRoot(path)) return undefined;
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    const fd = await this.#make(path, (parent, name) => this.#native.openat2(parent, name, { flags, mode: 0o600 }));
    this.#large = { fd, entry };
    return fd;
  }

  /**
   * Ends a large file. Large files are written in order, so nothing needs waiting; the promise is for a uniform
   * interface.
   */
  async endLarge(sizeBytes: number): Promise<void> {
    const large = this.#large;
    this.#large = undefined;
    if (large === undefined) return;
    try {
      ftruncateSync(large.fd, sizeBytes);
      this.#metadata.set(large.fd, "", large.entry);
    } finally {
      this.#native.close(large.fd);
    }
  }

  /** Makes any file other than a regular one. */
  async add(entry: TarEntry): Promise<void> {
    const path = memberPath(entry.path);
    const role = this.#roleOf(path);
    if (role === "mark") return this.#mark(path);
    if (role === "bookkeeping") return;
    if (entry.type === "directory") return this.#addDirectory(path, entry);
    if (isRoot(path)) return;
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

  /** Writes pending files and finishes the directories. */
  async finish(): Promise<{
    readonly impliedDirectories: readonly string[];
    readonly skippedDevices: readonly string[];
  }> {
    await this.#flush();
    // All links to them have been made.
    if (this.#directories.has(LINK_TARGETS) && this.#whiteouts !== undefined) this.#directories.remove(LINK_TARGETS);
    // From the deepest up: a directory closed by its final mode is not entered again.
    const paths = [...this.#directories.unfinished.keys()].toSorted().toReversed();
    for (const path of paths) {
      const entry = this.#directories.unfinished.get(path);
      if (entry !== undefined) this.#setMetadata(path, entry);
    }
    return { impliedDirectories: [...this.#directories.implied].toSorted(), skippedDevices: this.#skippedDevices };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The writing threads hold the root's descriptor: it must not be closed, and perhaps reused, meanwhile.
    await this.#writing.catch(() => undefined);
    if (this.#large !== undefined) this.#native.close(this.#large.fd);
    this.#directories.forgetDescriptor();
    this.#native.close(this.#root);
  }

  async #addDirectory(path: string, entry: TarEntry): Promise<void> {
    if (path !== "" && this.#isPending(path)) await this.#flush();
    const known = path === "" || (this.#directories.has(path) && this.#directories.isReal(path));
    if (!known) {
      const [parent, name] = splitParent(path);
      this.#directories.ensure(parent);
      const existing = this.#native.tryStatat(this.#directories.fdOf(parent), name);
      if (existing === undefined) this.#native.mkdirat(this.#directories.fdOf(parent), name, 0o700);
      else if (!isDirectory(existing)) await this.#replaceByDirectory(path, existing);
    }
    this.#directories.add(path, entry);
  }

  /** Replaces a file by a directory. Over this layer's own whiteout it is opaque: it hides the lower layers' files. */
  async #replaceByDirectory(path: string, existing: FileStatus): Promise<void> {
    await this.#flush();
    const [parent, name] = splitParent(path);
    const hides = this.#directories.isWhiteout(path, existing);
    this.#directories.remove(path);
    this.#native.mkdirat(this.#directories.fdOf(parent), name, 0o700);
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
      if (status === undefined || isDirectory(status) || this.#directories.isWhiteout(target, status)) throw missing();
      await this.#make(path, (parent, name) => this.#native.linkat(fd, targetName, parent, name));
      const [parent, name] = splitParent(path);
      this.#metadata.setOfLink(this.#directories.fdOf(parent), name, entry, status);
    } finally {
      this.#native.close(fd);
    }
  }

  async #addSpecial(path: string, entry: TarEntry): Promise<void> {
    const kind = entry.type === "char" ? S_IFCHR : entry.type === "block" ? S_IFBLK : S_IFIFO;
    const device = { major: entry.deviceMajor, minor: entry.deviceMinor };
    if (isReservedDevice(kind, device)) {
      if (this.#reserved === "refuse") throw reservedDevice(path);
      // In a layer's directory it would hide lower layers' files. No container can make one, so skipping it does no
      // harm.
      if (this.#whiteouts !== undefined) {
        this.#skippedDevices.push(path);
        return;
      }
    }
    try {
      await this.#make(path, (parent, name) => this.#native.mknodat(parent, name, kind | 0o600, device));
    } catch (error) {
      // In a user namespace no process may make devices. Images with some work without them.
      if (errnoOf(error) !== "EPERM" || entry.type === "fifo") throw error;
      this.#skippedDevices.push(path);
      return;
    }
    this.#setMetadata(path, entry);
  }

  /** Calls `create` on (parent, name); an existing file is removed, and the call repeated. */
  async #make<T>(path: string, create: (parentFd: number, name: string) => T): Promise<T> {
    const [parent, name] = splitParent(path);
    if (this.#isPending(path)) await this.#flush();
    this.#directories.ensure(parent);
    try {
      return create(this.#directories.fdOf(parent), name);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
    // Small files not yet written may lie below a removed directory.
    await this.#flush();
    this.#directories.remove(path);
    this.#directories.ensure(parent);
    return create(this.#directories.fdOf(parent), name);
  }

  /** Tells whether a small file of this path is still to be written. */
  #isPending(path: string): boolean {
    return this.#batch.has(path) || this.#spare.has(path);
  }

  #roleOf(path: string): MemberRole {
    return this.#whiteouts === undefined ? "file" : roleOf(path);
  }

  /** Applies a whiteout: it hides files of lower layers, never those of this one. OCI image-spec, layer.md. */
  async #mark(path: string): Promise<void> {
    const [parent] = splitParent(path);
    const mark = readMarkName(path);
    if (mark.kind === "ignored") return;
    if (mark.kind === "opaque") {
      this.#directories.ensure(parent);
      this.#whiteouts?.setOpaque(parent);
      return;
    }
    const { hidden } = mark;
    const target = parent === "" ? hidden : `${parent}/${hidden}`;
    if (this.#isPending(target)) return;
    this.#directories.ensure(parent);
    const existing = this.#native.tryStatat(this.#directories.fdOf(parent), hidden);
    if (existing === undefined) this.#whiteouts?.make(this.#directories.fdOf(parent), parent, hidden);
    else if (isDirectory(existing)) this.#whiteouts?.setOpaque(target);
  }

  #setMetadata(path: string, entry: TarEntry): void {
    const [parent, name] = splitParent(path);
    this.#metadata.set(this.#directories.fdOf(parent), name, entry);
  }

  async #flush(): Promise<void> {
    await this.#swap();
    await this.#writing;
  }

  /** Waits for the previous batch, starts this one, and leaves an empty one to fill. */
  async #swap(): Promise<void> {
    await this.#writing;
    const batch = this.#batch;
    if (batch.count === 0) return;
    this.#batch = this.#spare;
    this.#spare = batch;
    this.#writing = this.#write(batch);
    // The code that awaits `#writing` sees the failure; until then it must not count as unhandled.
    this.#writing.catch(() => undefined);
  }

  async #write(batch: FileBatch): Promise<void> {
    const results = await this.#native.writeFiles(this.#root, batch.toWrite(RESOLVE_IN_ROOT));
    for (const [index, result] of results.entries()) {
      const path = batch.pathAt(index);
      if (result === -17 /* EEXIST */) {
        this.#directories.remove(path);
        const [again = 0] = this.#native.writeFilesSync(this.#root, batch.toWriteOne(index, RESOLVE_IN_ROOT));
        if (again < 0) throw failure(path, again);
      } else if (result < 0) throw failure(path, result);
    }
    for (const [path, entry] of batch.withAttributes()) {
      const [parent, name] = splitParent(path);
      this.#metadata.setAttributes(this.#directories.fdOf(parent), name, entry);
    }
    batch.clear();
  }
}

/**
 * Tells whether a member is the root. Old archivers wrote it as a file without a name; like every reader, skip a root
 * that is not a directory.
 */
function isRoot(path: string): boolean {
  return path === "";
}

function failure(path: string, errno: number): BuildError {
  const [code, text] = describeErrno(errno);
  return new BuildError(
    code === "ENOSPC" || code === "EDQUOT" ? "store/full" : "snapshot/failed",
    `Cannot unpack "${path.toWellFormed()}": ${text}`,
    {
      cause: new SystemError(errno, "open", path),
    },
  );
}
