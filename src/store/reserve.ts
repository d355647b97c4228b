import { closeSync, constants, fstatSync, openSync, rmSync, statSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "../core/errors.ts";

/** Enough for the lines and the log of a collection that deletes some ten thousand rows. */
const RESERVE_BYTES = 4 << 20;

/**
 * What opening a store on a full disk takes of it at a time: room for the files SQLite keeps beside an open database.
 * Small, so that a build cannot use up what the collection after it needs.
 */
const STEP_BYTES = 256 << 10;

/**
 * A file of zeros that a full disk is opened with: deleting rows takes space before it gives any. Makes it, or as much of
 * it as there is room for; a whole one costs one look.
 */
export function makeReserve(root: string): void {
  const path = pathIn(root);
  if (sizeOf(path) >= RESERVE_BYTES) return;
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o600);
    const zeros = Buffer.alloc(STEP_BYTES);
    // Another process may be writing the same zeros to the same places.
    for (let at = fstatSync(fd).size; at < RESERVE_BYTES;) at += writeSync(fd, zeros, 0, zeros.length, at);
  } catch {
    // The disk is full, or the store is gone: a part of a reserve is better than none, and the next one goes on from it.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

export function releaseReserve(root: string): void {
  rmSync(pathIn(root), { force: true });
}

/** Runs `work` again with a step of the reserve given up, as long as it fails with `store/full` and there is one. */
export function withReserve<T>(root: string, work: () => T): T {
  for (;;) {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof BuildError) || error.code !== "store/full") throw error;
      const size = sizeOf(pathIn(root));
      if (size === 0) throw error;
      truncateSync(pathIn(root), Math.max(0, size - STEP_BYTES));
    }
  }
}

function pathIn(root: string): string {
  return join(root, "reserve");
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
