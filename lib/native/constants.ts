/** Flags of openat2(2), linkat(2) and their kin that `fs.constants` does not have. Values of linux/fcntl.h and linux/openat2.h. */
import { constants } from "node:fs";

export const AT_FDCWD = -100;
export const AT_REMOVEDIR = 0x200;

export const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** A descriptor that only names a file: opening it needs no permission on the file and has no side effect. */
export const O_PATH = 0o10000000;

export const RESOLVE_NO_SYMLINKS = 0x04;
/** A path that would leave the directory fails with EXDEV. */
export const RESOLVE_BENEATH = 0x08;
/** The directory is `/` for absolute symlinks and `..`: the path cannot leave. */
export const RESOLVE_IN_ROOT = 0x10;

/** New entries of such a directory get its group. */
export const S_ISGID = 0o2000;
export const { S_IFMT, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK } = constants;
