/** Hints for system errors, by errno name. */
const HINTS: Readonly<Record<string, string>> = {
  EACCES: "check the owner of the file and of its parent directories",
  EAGAIN: "raise the limit on processes (ulimit -u), or let fewer steps run at a time (--jobs)",
  EDQUOT: "free space, or ask for a larger quota",
  EFBIG: "raise the limit on the size of files (ulimit -f)",
  EIO: "check the disk: the kernel's log (dmesg) says more",
  EMFILE: "raise the limit on open files: ulimit -n 4096",
  ENAMETOOLONG: "a name has at most 255 bytes, and a path 4095",
  ENFILE: "the whole machine has too many files open: end something, or raise fs.file-max",
  ENOMEM: "free memory, or let fewer steps run at a time (--jobs)",
  ENOSPC: 'free space on that disk; "kiln prune" does where it is the store\'s',
  EROFS: "the file system is mounted read-only: choose another place",
  EUCLEAN: "check the file system: the kernel's log (dmesg) says more",
};

/** Errors of this process or machine, which say nothing about the file or command that met them. */
const EXHAUSTED: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

/** Limit on the depth of wrapped errors. */
const DEEPEST = 5;

/** Returns what can be done about an error of the system, by its errno name. */
export function systemHint(code: string): string | undefined {
  return HINTS[code];
}

/** Tells whether this process or machine lacked something for a call, so that its failure is no answer. */
export function isExhausted(error: unknown): boolean {
  return EXHAUSTED.has(codeIn(error));
}

/**
 * Returns the hint of an error with a cause. Where the cause is that files or memory ran out, no hint about what was
 * being done helps; where there is no hint, the one for the cause does.
 */
export function hintFor(cause: unknown, hint: string | undefined): string | undefined {
  let error = cause;
  for (let depth = 0; depth < DEEPEST && error instanceof Error; depth += 1) {
    const code = codeIn(error);
    if (EXHAUSTED.has(code)) return HINTS[code];
    if (hint === undefined && HINTS[code] !== undefined) return HINTS[code];
    error = error.cause;
  }
  return hint;
}

function codeIn(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
