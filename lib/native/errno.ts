import { getSystemErrorMap } from "node:util";

/** An error of a system call, shaped like the errors of Node's own fs: test `code`, or `errnoOf(error)` of lib/core. */
export class SystemError extends Error {
  override readonly name = "Error";
  /** Negative number, like libuv's. */
  readonly errno: number;
  readonly code: string;
  readonly syscall: string;
  readonly path: string | undefined;
  readonly dest: string | undefined;

  constructor(errno: number, syscall: string, path?: string, dest?: string) {
    const [code, text] = describeErrno(errno);
    const to = dest === undefined ? "" : ` -> '${dest.toWellFormed()}'`;
    super(`${code}: ${text}, ${syscall}${path === undefined ? "" : ` '${path.toWellFormed()}'`}${to}`);
    this.errno = errno;
    this.code = code;
    this.syscall = syscall;
    this.path = path;
    this.dest = dest;
  }
}

// Errors without a name in libuv: Linux's asm-generic/errno.h.
const OTHERS: Readonly<Record<number, readonly [string, string]>> = {
  39: ["ENOTEMPTY", "directory not empty"],
  40: ["ELOOP", "too many symbolic links encountered"],
  61: ["ENODATA", "no data available"],
  116: ["ESTALE", "stale file handle"],
  117: ["EUCLEAN", "structure needs cleaning"],
  122: ["EDQUOT", "disk quota exceeded"],
};

/** Returns name and text of an errno, given as a negative number. */
export function describeErrno(errno: number): readonly [code: string, text: string] {
  return getSystemErrorMap().get(errno) ?? OTHERS[-errno] ?? [`E${-errno}`, "unknown error"];
}
