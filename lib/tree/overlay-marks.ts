import { S_IFCHR, S_IFDIR, S_IFMT, S_IFREG } from "../native/constants.ts";
import { errnoOf } from "../core/errors.ts";
import type { FileStatus, Native } from "../native/native.ts";

/** Namespace of overlay marks: `trusted.overlay.*` for root, `user.overlay.*` inside a user namespace. */
export type Marks = "trusted" | "user";

/**
 * Tells whether an entry of an upper directory is a whiteout: it only hides the name below it. Kernel: overlayfs.rst,
 * "whiteouts".
 */
export function isWhiteout(
  native: Native,
  dirfd: number,
  name: string,
  status: Pick<FileStatus, "mode" | "rdevMajor" | "rdevMinor" | "size">,
  marks: Marks,
): boolean {
  const type = status.mode & S_IFMT;
  if (type === S_IFCHR) return status.rdevMajor === 0 && status.rdevMinor === 0;
  // Without the right to make devices (since Linux 6.7), a whiteout is an empty file with a mark.
  return (
    type === S_IFREG && status.size === 0 && native.getXattr(dirfd, name, `${marks}.overlay.whiteout`) !== undefined
  );
}

/**
 * Tells whether a directory hides all directories of its name below it. An `x` only says that xattr whiteouts are
 * inside.
 */
export function isOpaque(native: Native, dirfd: number, name: string, marks: Marks): boolean {
  return native.getXattr(dirfd, name, `${marks}.overlay.opaque`)?.toString("latin1") === "y";
}

export function markOpaque(native: Native, dirfd: number, name: string, marks: Marks): void {
  native.setXattr(dirfd, name, `${marks}.overlay.opaque`, Buffer.from("y"));
}

/** Makes a whiteout. `name` must be free in the upper directory `dirfd`. */
export function makeWhiteout(native: Native, dirfd: number, name: string, marks: Marks): void {
  try {
    native.mknodat(dirfd, name, S_IFCHR, { major: 0, minor: 0 });
  } catch (error) {
    // Since Linux 5.8 any user may make the 0:0 device; older kernels and some containers refuse.
    if (marks !== "user" || errnoOf(error) !== "EPERM") throw error;
    native.mknodat(dirfd, name, S_IFREG | 0o600);
    native.setXattr(dirfd, name, "user.overlay.whiteout", Buffer.from("y"));
    if (!isOpaque(native, dirfd, ".", marks)) {
      native.setXattr(dirfd, ".", "user.overlay.opaque", Buffer.from("x"));
    }
  }
}

/** Tells whether an attribute is a mark of overlayfs: part of a snapshot's storage, never of its files. */
export function isOverlayMark(xattr: string): boolean {
  return xattr.startsWith("trusted.overlay.") || xattr.startsWith("user.overlay.");
}

export function isDirectory(mode: number): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}
