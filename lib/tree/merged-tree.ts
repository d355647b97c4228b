import { BuildError } from "../core/errors.ts";
import type { DirectoryMatch, PatternMatcher } from "../core/patterns/pattern-matcher.ts";
import {
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  O_NOFOLLOW,
  O_NONBLOCK,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../native/constants.ts";
import type { FileStatus, Native } from "../native/native.ts";
import { readFully } from "./read-fully.ts";
import { isDirectory, isOpaque, isWhiteout, type Marks } from "./overlay-marks.ts";

export interface MergedTreeOptions {
  readonly native: Native;
  /** Host directories, topmost first. */
  readonly directories: readonly string[];
  /** `undefined` for a plain directory, where a 0:0 device is only a device. */
  readonly marks: Marks | undefined;
  /** Ignore patterns: excluded files do not exist in this tree. */
  readonly excludes?: PatternMatcher | undefined;
}

/** A directory of the merged tree: its path, and the layers that have a part in it. */
export interface Directory {
  /** Canonical path relative to the root, without symlinks; the root is empty. */
  readonly path: string;
  readonly parent: Directory | undefined;
  /** Status in the merged tree: that of the topmost part. */
  readonly status: FileStatus;
  /** Parts, topmost first. A part is the directory of the same path in that layer. */
  readonly parts: Part[];
  readonly children: Map<string, Entry | undefined>;
  /** Result of the ignore patterns; `undefined` without patterns. */
  readonly match: DirectoryMatch | undefined;
  /** True when the step that is writing the tree made it: it contains only files of that step. */
  readonly isFresh?: boolean;
}

interface Part {
  readonly layer: number;
  fd: number | undefined;
}

export interface Entry {
  readonly name: string;
  readonly status: FileStatus;
  /** Index in `directories` of the layer that holds it; for a directory, the topmost. */
  readonly layer: number;
  /** Present for a directory. */
  readonly directory: Directory | undefined;
}

/**
 * The result of resolving a path: the deepest directory that exists, the entry wanted in it, and the names below that
 * do not exist yet.
 */
export interface Resolution {
  readonly parent: Directory;
  /** `undefined` for the root itself. */
  readonly entry: Entry | undefined;
  /** Missing names, from `parent` downwards; empty when the path exists. */
  readonly missing: readonly string[];
}

/** A regular file, open for reading. */
export interface OpenFile extends Disposable {
  readonly fd: number;
  readonly sizeBytes: number;
}

/** Limit on symlinks over the whole path, like BuildKit's. (The kernel's is 40.) */
const MAX_SYMLINKS = 255;
/** Limit on directories held open over all layers. Beyond it, the oldest are closed and reopened when needed. */
const MAX_OPEN = 512;

/**
 * A file tree of stacked directories as in an overlay, read without mounting anything. Symlinks are resolved inside the
 * root, and the kernel never follows any part of a path: each directory is opened below its layer's root with
 * RESOLVE_NO_SYMLINKS. So an image cannot lead out of it, not even by changing while it is read.
 *
 * Look-ups are cached, so the files must not change unnoticed; a writer reports its changes with `replace`.
 */
export class MergedTree implements Disposable {
  readonly native: Native;
  readonly marks: Marks | undefined;
  readonly excludes: PatternMatcher | undefined;
  readonly root: Directory;
  readonly #layers: number[];
  readonly #open = new Set<Part>();

  /** @throws a system error when one of the directories cannot be opened */
  constructor(options: MergedTreeOptions) {
    this.native = options.native;
    this.marks = options.marks;
    this.excludes = options.excludes;
    this.#layers = [];
    try {
      for (const path of options.directories) {
        this.#layers.push(this.native.openPath(path, O_PATH | O_DIRECTORY));
      }
      const [top] = this.#layers;
      if (top === undefined) throw new Error("A merged tree needs at least one directory");
      const parts: Part[] = [];
      for (const [layer, fd] of this.#layers.entries()) {
        parts.push({ layer, fd });
        if (this.marks !== undefined && isOpaque(this.native, fd, ".", this.marks)) break;
      }
      const status = this.native.statat(top, "");
      const match = this.excludes?.root;
      this.root = { path: "", parent: undefined, status, parts, children: new Map(), match };
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Returns the descriptor of a layer's root; the tree owns it. */
  layerFd(layer: number): number {
    const fd = this.#layers[layer];
    if (fd === undefined) throw new Error(`No layer ${layer} in this tree`);
    return fd;
  }

  get layerCount(): number {
    return this.#layers.length;
  }

  /**
   * Returns the descriptor of one layer's part of a directory; the tree owns it, and it is valid until the next call.
   */
  partFd(directory: Directory, part: Part): number {
    if (part.fd !== undefined) return part.fd;
    const fd = this.native.openat2(this.layerFd(part.layer), directory.path, {
      flags: O_PATH | O_DIRECTORY,
      resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    });
    if (this.#open.size >= MAX_OPEN) {
      for (const oldest of this.#open) {
        this.#close(oldest);
        break;
      }
    }
    part.fd = fd;
    this.#open.add(part);
    return fd;
  }

  /** Finds the entry with a name in a directory, or `undefined`. */
  child(directory: Directory, name: string): Entry | undefined {
    if (directory.children.has(name)) return directory.children.get(name);
    const found = this.#look(directory, name);
    directory.children.set(name, found);
    return found;
  }

  /** Updates the cached entry of a name after a writer changed it. */
  replace(directory: Directory, name: string, entry: Entry | undefined): void {
    const old = directory.children.get(name)?.directory;
    if (old !== undefined && old !== entry?.directory) this.#forget(old);
    directory.children.set(name, entry);
  }

  /**
   * Resolves a path from a directory that stands for `/`: `..` is clamped there and absolute symlinks start there.
   * Symlinks on the way are always followed; a final one by choice.
   * @throws {BuildError} `solver/copy-failed` on a loop of symlinks, or where a file is in the way
   */
  resolve(path: string, final: "follow" | "keep", root: Directory = this.root): Resolution {
    const names = path.split("/").toReversed();
    let at: Directory = root;
    let missing: string[] = [];
    let links = 0;
    let last: Entry | undefined;
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (missing.length > 0) missing.pop();
        // The kernel forbids ".." of a file, but BuildKit resolves it by its text: to the file's own directory.
        else if (last === undefined && at !== root) at = at.parent ?? at;
        last = undefined;
        continue;
      }
      if (missing.length > 0) {
        missing.push(name);
        continue;
      }
      if (last !== undefined) throw notDirectory(path, last.name);
      const entry = this.child(at, name);
      if (entry === undefined) {
        missing = [name];
        continue;
      }
      if (entry.directory !== undefined) {
        at = entry.directory;
        continue;
      }
      const isFinal = names.every((rest) => rest === "" || rest === ".");
      if ((entry.status.mode & S_IFMT) === S_IFLNK && !(isFinal && final === "keep")) {
        links += 1;
        if (links > MAX_SYMLINKS) {
          throw new BuildError("solver/copy-failed", `Cannot follow ${JSON.stringify(path)}: too many symlinks`);
        }
        const target = this.readLink(at, entry);
        if (target.startsWith("/")) at = root;
        names.push(...target.split("/").toReversed());
        continue;
      }
      last = entry;
    }
    if (missing.length > 0) return { parent: at, entry: undefined, missing };
    if (last !== undefined) return { parent: at, entry: last, missing };
    if (at === root || at.parent === undefined) return { parent: at, entry: undefined, missing };
    const name = at.path.slice(at.path.lastIndexOf("/") + 1);
    const entry = { name, status: at.status, layer: at.parts[0]?.layer ?? 0, directory: at };
    return { parent: at.parent, entry, missing };
  }

  /** Finds the directory at a path, following symlinks; `undefined` when there is none. */
  directoryAt(path: string): Directory | undefined {
    const found = this.resolve(path, "follow");
    if (found.missing.length > 0) return undefined;
    return found.entry === undefined ? found.parent : found.entry.directory;
  }

  readLink(directory: Directory, entry: Entry): string {
    return this.native.readlinkat(this.#partOf(directory, entry), entry.name);
  }

  /**
   * Reads a regular file, following symlinks; `undefined` when there is no file, or something else.
   * @throws {BuildError} `solver/copy-failed` when it is larger than `maxBytes`
   */
  readFile(path: string, maxBytes: number): Buffer | undefined {
    using file = this.openFile(path);
    if (file === undefined) return undefined;
    if (file.sizeBytes > maxBytes) {
      throw new BuildError("solver/copy-failed", `Cannot read ${path}: it is larger than ${maxBytes} bytes`);
    }
    return readFully(file.fd, file.sizeBytes);
  }

  /** Opens a regular file, following symlinks; `undefined` when there is no file, or something else. */
  openFile(path: string): OpenFile | undefined {
    let found: Resolution;
    try {
      found = this.resolve(path, "follow");
    } catch (error) {
      if (error instanceof BuildError) return undefined;
      throw error;
    }
    const { parent, entry } = found;
    if (entry === undefined || (entry.status.mode & S_IFMT) !== S_IFREG) return undefined;
    const fd = this.native.openat2(this.#partOf(parent, entry), entry.name, {
      flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
      resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    });
    return { fd, sizeBytes: entry.status.size, [Symbol.dispose]: () => this.native.close(fd) };
  }

  [Symbol.dispose](): void {
    for (const part of this.#open) this.#close(part);
    for (const fd of this.#layers) this.native.close(fd);
    this.#layers.length = 0;
  }

  /** Returns the descriptor of the directory in the layer that holds the entry. */
  #partOf(directory: Directory, entry: Entry): number {
    const part = directory.parts.find((candidate) => candidate.layer === entry.layer);
    if (part === undefined) throw new Error(`${directory.path} has no part in layer ${entry.layer}`);
    return this.partFd(directory, part);
  }

  #look(directory: Directory, name: string): Entry | undefined {
    const path = directory.path === "" ? name : `${directory.path}/${name}`;
    let top: { readonly status: FileStatus; readonly layer: number } | undefined;
    const parts: Part[] = [];
    for (const [index, part] of directory.parts.entries()) {
      const fd = this.partFd(directory, part);
      const status = this.native.tryStatat(fd, name);
      if (status === undefined) continue;
      if (this.marks !== undefined && isWhiteout(this.native, fd, name, status, this.marks)) break;
      if (!isDirectory(status.mode)) {
        // A file between directories of the same name hides those below it, and the directory above hides the file.
        if (top !== undefined) break;
        const isExcluded = directory.match !== undefined && this.excludes?.matchesBelow(path, directory.match) === true;
        return isExcluded ? undefined : { name, status, layer: part.layer, directory: undefined };
      }
      top ??= { status, layer: part.layer };
      parts.push({ layer: part.layer, fd: undefined });
      const isLast = index === directory.parts.length - 1;
      if (!isLast && this.marks !== undefined && isOpaque(this.native, fd, name, this.marks)) break;
    }
    if (top === undefined) return undefined;
    const match = directory.match === undefined ? undefined : this.excludes?.enter(path, directory.match);
    if (match?.excluded === true && this.excludes?.mayContainIncluded(path) !== true) return undefined;
    const made: Directory = { path, parent: directory, status: top.status, parts, children: new Map(), match };
    return { name, status: top.status, layer: top.layer, directory: made };
  }

  #forget(directory: Directory): void {
    for (const part of directory.parts) this.#close(part);
    for (const child of directory.children.values()) if (child?.directory !== undefined) this.#forget(child.directory);
  }

  #close(part: Part): void {
    this.#open.delete(part);
    if (part.fd === undefined) return;
    const { fd } = part;
    part.fd = undefined;
    this.native.close(fd);
  }
}

function notDirectory(path: string, name: string): BuildError {
  return new BuildError(
    "solver/copy-failed",
    `Cannot follow ${JSON.stringify(path)}: ${JSON.stringify(name)} is not a directory`,
  );
}
