import { BuildError, errnoOf } from "../../lib/core/errors.ts";
import { AT_FDCWD, O_PATH, RESOLVE_IN_ROOT, S_IFDIR, S_IFMT } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";

/** Limit of links, as in the kernel. */
export const MAX_LINKS = 40;

/** Reads the link at the end of `path`, which has no other links; `undefined` where there is none. */
export function linkText(native: Native, rootFd: number, path: string): string | undefined {
  try {
    return native.readlinkat(rootFd, path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EINVAL" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** The path without links of what `path` is inside the root, relative to it; empty for the root. */
export function relativeTo(native: Native, rootFd: number, path: string, rootPath: string): string | undefined {
  try {
    const fd = native.openat2(rootFd, path, { flags: O_PATH, resolve: RESOLVE_IN_ROOT });
    const real = native.readlinkat(AT_FDCWD, `/proc/self/fd/${fd}`);
    const root = native.readlinkat(AT_FDCWD, `/proc/self/fd/${rootFd}`);
    native.close(fd);
    return real === root ? "" : real.slice(root.length + 1);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new BuildError("runtime/failed", `Cannot look "${path}" up in ${rootPath}`, { cause: error });
  }
}

export function isDirectory(native: Native, path: string): boolean {
  return (native.statat(AT_FDCWD, path).mode & S_IFMT) === S_IFDIR;
}
