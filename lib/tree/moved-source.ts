import { BuildError, errnoOf } from "../core/errors.ts";

/**
 * An error for a client's file that disappeared or changed its type since its directory was scanned. Another scan may
 * find it stable.
 */
export class MovedSourceError extends BuildError {
  constructor(error: BuildError) {
    const { span, hint, detail, more } = error;
    super(error.code, error.message, { span, hint, detail, more, cause: error });
  }
}

/** Tells whether an error, or one of its causes, is a file that moved since it was found. */
export function isMovedSource(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof MovedSourceError) return true;
  return false;
}

/** Tells whether opening a file failed because it is no longer the regular file that a scan saw. */
export function hasMoved(cause: unknown): boolean {
  return MOVED.has(errnoOf(cause) ?? "");
}

/** Errors that mean a moved file. ENXIO: a socket. EINVAL: the addon copies regular files only. */
const MOVED: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "EINVAL", "ENXIO", "ESTALE"]);
