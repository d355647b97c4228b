import { BuildError, errnoOf, messageOf } from "../../lib/core/errors.ts";
import { makeDirectory } from "../../lib/core/make-directory.ts";

/**
 * Makes the directory of an output where it is missing.
 * @throws {BuildError} `export/failed`
 */
export function makeDestination(path: string): void {
  try {
    makeDirectory(path);
  } catch (error) {
    throw new BuildError("export/failed", `Cannot make the directory "${path}": ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Runs `work`, which writes into the directory `path`.
 * @throws {BuildError} `export/failed` for errors of the system there
 */
export async function writingInto<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BuildError || !REFUSALS.has(errnoOf(error) ?? "")) throw error;
    throw new BuildError("export/failed", `Cannot write into "${path}": ${messageOf(error)}`, { cause: error });
  }
}

/** Errors of a full, broken or read-only disk, or of conflicting files. */
const REFUSALS: ReadonlySet<string> = new Set(
  "EACCES EBUSY EDQUOT EEXIST EFBIG EIO EISDIR ENAMETOOLONG ENOENT ENOSPC ENOTDIR ENOTEMPTY EPERM EROFS ETXTBSY".split(
    " ",
  ),
);
