import { rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AT_FDCWD } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import { errnoOf } from "../../lib/core/errors.ts";

/**
 * Deletes a directory of ours and everything in it, never following a symlink. It first moves it to `removed-…`, so
 * that a reader sees all of the tree or none of it, and a killed process leaves a name that says "garbage". A missing
 * directory is fine: another process may have been faster.
 */
export async function removeTree(directory: string, newId: () => string, native: Native): Promise<void> {
  const doomed = join(dirname(directory), `removed-${newId()}`);
  try {
    await rename(directory, doomed);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  await deleteTree(doomed, native);
}

/** Deletes a tree in place: `removeTree` without the move, for trees that no other process sees. */
export async function deleteTree(directory: string, native: Native): Promise<void> {
  await native.removeTree(AT_FDCWD, directory);
}
