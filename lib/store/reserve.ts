import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { BuildError, errnoOf } from "../core/errors.ts";
import type { Native } from "../native/native.ts";

export type AllocateCalls = Pick<Native, "allocate">;

/** Enough for the lines and the log of a collection that deletes some ten thousand rows. */
const RESERVE_BYTES = 4 << 20;

/**
 * Bytes of the reserve that opening a store on a full disk takes at a time: room for the files SQLite keeps beside an
 * open database. Small, so that a build cannot use up the space that the collection after it needs.
 */
const STEP_BYTES = 256 << 10;

/** Bytes of its log's index that SQLite maps at a time (WALINDEX_PGSZ). */
const SHARED_BYTES = 32 << 10;

/** Flag of open(2) on Linux; Node has no name for it. */
const O_TMPFILE = 0o20200000;

/**
 * Makes the reserve, a file of zeros: deleting rows takes space before it frees any, so a full disk needs some. Writes
 * as much of it as there is room for; checking a whole one costs one look.
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
    // The disk is full, or the store is gone: a partial reserve is better than none, and the next call continues it.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * Makes sure, before SQLite opens the database, that its shared memory has disk blocks. SQLite maps that file and
 * assumes that one written byte allocates a whole page. On file systems with smaller blocks the rest are holes, and the
 * kernel ends a process that writes into a hole of a full disk (SIGBUS). A disk with room costs one statfs.
 * @throws an ENOSPC error when neither the disk nor the reserve has the room
 */
export function makeRoomToOpen(root: string, calls: AllocateCalls): void {
  const { bavail, bsize } = statfsSync(root);
  if (bavail * bsize >= STEP_BYTES) return;
  giveBackStep(root);
  tryAllocating(root, SHARED_BYTES * 2, calls);
}

/** Allocates blocks for the holes of SQLite's shared-memory file: the disk may be full when they are written. */
export function fillSharedMemory(database: string, calls: AllocateCalls): void {
  const path = `${database}-shm`;
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined || status.blocks * 512 >= status.size) return;
  const fd = openSync(path, "r+");
  try {
    calls.allocate(fd, status.size);
  } finally {
    closeSync(fd);
  }
}

/** Allocates a file without a name, which disappears when closed. File systems without such files are not asked. */
function tryAllocating(root: string, bytes: number, calls: AllocateCalls): void {
  let fd: number;
  try {
    fd = openSync(root, O_TMPFILE | constants.O_RDWR, 0o600);
  } catch (error) {
    if (["EOPNOTSUPP", "EISDIR", "EINVAL"].includes(errnoOf(error) ?? "")) return;
    throw error;
  }
  try {
    calls.allocate(fd, bytes);
  } finally {
    closeSync(fd);
  }
}

export function releaseReserve(root: string): void {
  rmSync(pathIn(root), { force: true });
}

/**
 * Runs `work` again with one step of the reserve released, as long as it fails with `store/full` and there is a step
 * left.
 */
export function withReserve<T>(root: string, work: () => T): T {
  for (;;) {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof BuildError) || error.code !== "store/full") throw error;
      if (!giveBackStep(root)) throw error;
    }
  }
}

/**
 * Releases one step of the reserve.
 * @returns false when nothing of the reserve is left
 */
function giveBackStep(root: string): boolean {
  const size = sizeOf(pathIn(root));
  if (size === 0) return false;
  truncateSync(pathIn(root), Math.max(0, size - STEP_BYTES));
  return true;
}

function pathIn(root: string): string {
  return join(root, "reserve");
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
