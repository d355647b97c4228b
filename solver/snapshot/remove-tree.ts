import { chmod, lstat, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AT_FDCWD } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import { errnoOf } from "../../lib/core/errors.ts";

/**
 * Deletes a directory of ours and everything in it, never following a symlink. It first moves out of sight under
 * `removed-…`, so that a reader sees all of the tree or none of it, and a killed process leaves a name that says
 * "garbage". A missing directory is fine: another process may have been faster.
 */
export async function removeTree(directory: string, newId: () => string, native?: Native): Promise<void> {
  const doomed = join(dirname(directory), `removed-${newId()}`);
  try {
    await rename(directory, doomed);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  await deleteTree(doomed, native);
}

/** Deletes a tree in place; `removeTree` without the move, for what nobody else can see. Much faster with the addon. */
export async function deleteTree(directory: string, native?: Native): Promise<void> {
  if (native !== undefined) {
    await native.removeTree(AT_FDCWD, directory);
    return;
  }
  try {
    await rm(directory, { recursive: true, force: true });
  } catch (error) {
    const code = errnoOf(error);
    if (code !== "EACCES" && code !== "EPERM") throw error;
    // Without root, a directory its owner may not write (mode 0555, or overlayfs's own work/work with mode 0) cannot
    // be emptied. It is ours: open it up and try once more.
    await openUp(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

async function openUp(directory: string): Promise<void> {
  await chmod(directory, 0o700);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const path = join(directory, entry.name);
    if ((await lstat(path)).isDirectory()) await openUp(path);
  }
}
