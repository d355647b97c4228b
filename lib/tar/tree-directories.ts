import { errnoOf } from "../core/errors.ts";
import { O_DIRECTORY, O_PATH, RESOLVE_IN_ROOT, S_IFDIR, S_IFMT } from "../native/constants.ts";
import type { FileStatus, Native } from "../native/native.ts";
import { NO_XATTRS, type TarEntry } from "./entry.ts";
import { malformed } from "./header-read.ts";
import { linkedPath, splitParent } from "./unpack-path.ts";
import type { Whiteouts } from "./whiteouts.ts";

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

/** The base of a tree being unpacked: its descriptor, owned by the caller, and two facts for its directories. */
export interface TreeBase {
  readonly native: Native;
  readonly root: number;
  /** `undefined` when `.wh.` names are plain files. */
  readonly whiteouts: Whiteouts | undefined;
  /** Tells whether a small file of this path is still to be written. */
  readonly isPending: (path: string) => boolean;
}

/** The directories of a tree that is being unpacked: present ones, implied ones, and those to be finished. */
export class TreeDirectories {
  /** Directories to be finished, by path as archived. */
  readonly unfinished = new Map<string, TarEntry>();
  /** Directories that contain members but have no member of their own. */
  readonly implied = new Set<string>();
  readonly #native: Native;
  readonly #root: number;
  readonly #whiteouts: Whiteouts | undefined;
  readonly #isPending: (path: string) => boolean;
  /** Paths that lead to a directory inside the root. */
  readonly #known = new Set<string>([""]);
  #parent: { readonly path: string; readonly fd: number } | undefined;

  constructor({ native, root, whiteouts, isPending }: TreeBase) {
    this.#native = native;
    this.#root = root;
    this.#whiteouts = whiteouts;
    this.#isPending = isPending;
  }

  /** Tells whether the path is known to lead to a directory, perhaps by symlinks. */
  has(path: string): boolean {
    return this.#known.has(path);
  }

  /** Records a directory that a member makes. */
  add(path: string, entry: TarEntry): void {
    this.#known.add(path);
    this.implied.delete(path);
    this.unfinished.set(path, entry);
  }

  /** Makes `path` lead to a directory, following symlinks inside the root. */
  ensure(path: string, depth = 0): void {
    if (this.#known.has(path)) return;
    const [parent, name] = splitParent(path);
    this.ensure(parent, depth);
    const existing = this.#native.tryStatat(this.fdOf(parent), name);
    if (existing !== undefined && this.isWhiteout(path, existing)) {
      this.#native.unlinkat(this.fdOf(parent), name);
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
          ? this.#native.readlinkat(this.fdOf(parent), name)
          : undefined;
      if (target === undefined || depth >= MAX_SYMLINKS) {
        throw malformed(`"${path.toWellFormed()}" is used as a directory and is none`);
      }
      // A symlink to a directory that only lower layers have.
      this.ensure(linkedPath(parent, target), depth + 1);
    }
    this.#known.add(path);
  }

  /** Tells whether the path itself is a directory, not a symlink to one. */
  isReal(path: string): boolean {
    const [parent, name] = splitParent(path);
    const status = this.#native.tryStatat(this.fdOf(parent), name);
    return status !== undefined && isDirectory(status);
  }

  isWhiteout(path: string, status: FileStatus): boolean {
    const [parent, name] = splitParent(path);
    return this.#whiteouts?.isOne(this.fdOf(parent), name, status) === true;
  }

  /** Returns a descriptor of the directory, kept until another one is requested: members come grouped by directory. */
  fdOf(path: string): number {
    if (path === "") return this.#root;
    if (this.#parent?.path === path) return this.#parent.fd;
    this.forgetDescriptor();
    const fd = this.#native.openat2(this.#root, path, { flags: O_PATH | O_DIRECTORY, resolve: RESOLVE_IN_ROOT });
    this.#parent = { path, fd };
    return fd;
  }

  /** Closes the kept descriptor. */
  forgetDescriptor(): void {
    if (this.#parent !== undefined) this.#native.close(this.#parent.fd);
    this.#parent = undefined;
  }

  /** Removes a path, and everything known of it and of paths below. */
  remove(path: string): void {
    const [parent, name] = splitParent(path);
    this.#native.removeTreeSync(this.fdOf(parent), name);
    this.forgetDescriptor();
    const below = `${path}/`;
    for (const set of [this.#known, this.unfinished, this.implied]) {
      for (const known of set.keys()) if (known === path || known.startsWith(below)) set.delete(known);
    }
    // Paths that led here by a symlink are checked again at their next use.
    for (const known of this.#known) {
      if (known !== "" && !this.unfinished.has(known)) this.#known.delete(known);
    }
  }

  #imply(path: string): void {
    const [parent, name] = splitParent(path);
    this.#native.mkdirat(this.fdOf(parent), name, 0o700);
    this.#known.add(path);
    this.implied.add(path);
    this.unfinished.set(path, { ...IMPLIED, path });
  }
}

export function isDirectory(status: FileStatus): boolean {
  return (status.mode & S_IFMT) === S_IFDIR;
}
