import { errnoOf } from "../core/errors.ts";
import { S_IFLNK, S_IFMT } from "../native/constants.ts";
import type { FileStatus, Native } from "../native/native.ts";
import type { TarEntry } from "./entry.ts";
import { representable } from "./file-batch.ts";
import { RECORD_XATTRS } from "./marks.ts";

/** `keep` as archived; `fixed` for all. */
export type OwnerPolicy =
  | { readonly kind: "keep" }
  | { readonly kind: "fixed"; readonly uid: number; readonly gid: number };

/** Metadata for the files of a tree that is being unpacked. All names are relative to a directory's descriptor. */
export class TreeMetadata {
  readonly #native: Native;
  readonly #owner: OwnerPolicy;
  readonly #own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };

  constructor(native: Native, owner: OwnerPolicy) {
    this.#native = native;
    this.#owner = owner;
  }

  /**
   * Sets owner, then mode (a change of owner takes setuid away), then attributes (so it does capabilities), then times.
   */
  set(fd: number, name: string, entry: TarEntry): void {
    const { uid, gid } = this.ownerOf(entry);
    if (uid !== this.#own.uid || gid !== this.#own.gid) this.#native.fchownat(fd, name, uid, gid);
    if (entry.type !== "symlink") this.#native.fchmodat(fd, name, entry.mode);
    this.setAttributes(fd, name, entry);
    this.#native.utimensat(fd, name, representable(entry.mtimeNs));
  }

  /**
   * Sets the metadata of a link's own header: the last member counts for all names of a file. It sets only differences
   * to `status`, because a change of owner, even to the same one, takes capabilities away.
   */
  setOfLink(fd: number, name: string, entry: TarEntry, status: FileStatus): void {
    const { uid, gid } = this.ownerOf(entry);
    const isOwnerOther = uid !== status.uid || gid !== status.gid;
    if (isOwnerOther) this.#native.fchownat(fd, name, uid, gid);
    // As everywhere, a link to a symlink has no mode or time of its own.
    if ((status.mode & S_IFMT) === S_IFLNK) return;
    if (isOwnerOther || (status.mode & 0o7777) !== entry.mode) this.#native.fchmodat(fd, name, entry.mode);
    this.setAttributes(fd, name, entry);
    this.#native.utimensat(fd, name, representable(entry.mtimeNs));
  }

  setAttributes(fd: number, name: string, entry: TarEntry): void {
    for (const [key, value] of entry.xattrs) {
      // A layer must not set marks: they would show or hide files of other layers.
      if (/^(?:trusted|user)\.overlay\./.test(key) || RECORD_XATTRS.has(key)) continue;
      this.#trySetXattr(fd, name, key, value);
    }
  }

  /** Sets an attribute, unless the file system or the privileges refuse it; every runtime leaves it out then. */
  #trySetXattr(fd: number, name: string, key: string, value: Buffer): void {
    try {
      this.#native.setXattr(fd, name, key, value);
    } catch (error) {
      const code = errnoOf(error);
      if (code !== "ENOTSUP" && code !== "EPERM") throw error;
    }
  }

  ownerOf(entry: TarEntry): { readonly uid: number; readonly gid: number } {
    return this.#owner.kind === "keep" ? entry : this.#owner;
  }
}
