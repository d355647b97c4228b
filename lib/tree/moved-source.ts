import { BuildError, errnoOf } from "../core/errors.ts";

/** A file of the client's that is gone, or another kind of file, since its directory was scanned: another scan may find it at rest. */
export class MovedSourceError extends BuildError {
  constructor(error: BuildError) {
    const { span, hint, detail, more } = error;
    super(error.code, error.message, { span, hint, detail, more, cause: error });
  }
}

/** Whether an error, or one among its causes, says that a file has moved since it was found. */
export function isMovedSource(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof MovedSourceError) return true;
  return false;
}

/** Whether opening a file failed because it is not the regular file that a scan saw. */
export function hasMoved(cause: unknown): boolean {
  return MOVED.has(errnoOf(cause) ?? "");
}

/** ENXIO: a socket. EINVAL: the addon copies regular files only. */
const MOVED: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "EINVAL", "ENXIO", "ESTALE"]);
