import { errnoOf } from "../core/errors.ts";
import {
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  S_IFCHR,
  S_IFMT,
} from "../native/constants.ts";
import type { FileStatus, Native } from "../native/native.ts";
import { malformed } from "./header-read.ts";
import { type Marks, OPAQUE_NAME, WHITEOUT_PREFIX } from "./marks.ts";
import { splitParent } from "./unpack-path.ts";

/** The meaning of a member named `.wh.`. OCI image-spec, layer.md. */
export type MarkName =
  | { readonly kind: "opaque" }
  | { readonly kind: "whiteout"; readonly hidden: string }
  /** aufs's own bookkeeping. */
  | { readonly kind: "ignored" };

/** Roles of a layer's members, by path. */
export type MemberRole =
  | "file"
  | "mark"
  /** Bookkeeping of aufs, or a name below a mark: no part of the tree. */
  | "bookkeeping"
  /** Files of aufs that hard links in the layer may name, but that are not part of the tree. */
  | "link-target";

/** The directory in which aufs kept the first name of files with several. */
export const LINK_TARGETS = ".wh..wh.plnk";

export function roleOf(path: string): MemberRole {
  if (!path.includes(WHITEOUT_PREFIX)) return "file";
  const names = path.split("/");
  const first = names.findIndex((name) => name.startsWith(WHITEOUT_PREFIX));
  if (first < 0) return "file";
  if (names[0] === LINK_TARGETS && names.length > 1) return "link-target";
  return first === names.length - 1 ? "mark" : "bookkeeping";
}

/**
 * Parses a mark's name.
 * @throws {BuildError} `archive/malformed` for a whiteout of nothing
 */
export function readMarkName(path: string): MarkName {
  const [, name] = splitParent(path);
  if (name === OPAQUE_NAME) return { kind: "opaque" };
  if (name.startsWith(`${WHITEOUT_PREFIX}${WHITEOUT_PREFIX}`)) return { kind: "ignored" };
  const hidden = name.slice(WHITEOUT_PREFIX.length);
  if (hidden === "" || hidden === "." || hidden === "..") {
    throw malformed(`"${path.toWellFormed()}" is a whiteout of nothing`);
  }
  return { kind: "whiteout", hidden };
}

/** Whiteouts and opaque marks of a tree that is being unpacked into overlay form. */
export class Whiteouts {
  readonly #native: Native;
  readonly #root: number;
  readonly #marks: Marks;

  /** `root`: descriptor of the tree, owned by the caller; paths are resolved inside it. */
  constructor(native: Native, root: number, marks: Marks) {
    this.#native = native;
    this.#root = root;
    this.#marks = marks;
  }

  /** Makes a whiteout. `name` must be free in the directory `parent`, which `parentFd` holds open. */
  make(parentFd: number, parent: string, name: string): void {
    try {
      this.#native.mknodat(parentFd, name, S_IFCHR | 0o600, { major: 0, minor: 0 });
    } catch (error) {
      if (errnoOf(error) !== "EPERM") throw error;
      // Some sandboxes refuse even this device. Linux 6.7 and later read the attribute instead, where the directory
      // says so.
      const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
      this.#native.close(this.#native.openat2(parentFd, name, { flags, mode: 0o600 }));
      this.#native.setXattr(parentFd, name, `${this.#marks}.overlay.whiteout`, Buffer.alloc(0));
      this.#inDirectory(parent, (self) => {
        const key = `${this.#marks}.overlay.opaque`;
        if (this.#native.getXattr(self, "", key) === undefined) this.#native.setXattr(self, "", key, Buffer.from("x"));
      });
    }
  }

  isOne(parentFd: number, name: string, status: FileStatus): boolean {
    if ((status.mode & S_IFMT) === S_IFCHR) return status.rdevMajor === 0 && status.rdevMinor === 0;
    const key = `${this.#marks}.overlay.whiteout`;
    return status.size === 0 && this.#native.getXattr(parentFd, name, key) !== undefined;
  }

  /** Makes a directory hide all its entries of lower layers. */
  setOpaque(path: string): void {
    this.#inDirectory(path, (fd) => this.#native.setXattr(fd, "", `${this.#marks}.overlay.opaque`, Buffer.from("y")));
  }

  #inDirectory(path: string, work: (fd: number) => void): void {
    const fd = this.#native.openat2(this.#root, path === "" ? "." : path, {
      flags: O_RDONLY | O_DIRECTORY,
      resolve: RESOLVE_IN_ROOT,
    });
    try {
      work(fd);
    } finally {
      this.#native.close(fd);
    }
  }
}
