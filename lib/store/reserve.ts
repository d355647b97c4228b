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
 * Bytes of the reserve that opening a store on a full disk takes at a time: room for the files SQLite keeps beside an open database.
 * Small, so that a build cannot use up what the collection after it needs.
 */
const STEP_BYTES = 256 << 10;

/** Bytes that SQLite maps at a time of the index of its log (WALINDEX_PGSZ). */
const SHARED_BYTES = 32 << 10;

/** open(2) on Linux; Node has no name for it. */
const O_TMPFILE = 0o20200000;

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

/**
 * Makes sure, before SQLite opens the database, that the memory it shares between processes can be filled. SQLite maps that
 * file and takes a byte of each page for a whole page; on file systems whose blocks are smaller the rest are holes, and
 * the kernel ends a process that writes into a hole of a full disk (SIGBUS). A disk with room costs one statfs.
 * @throws an ENOSPC error when neither the disk nor the reserve has the room.
 */
export function makeRoomToOpen(root: string, calls: AllocateCalls): void {
  const { bavail, bsize } = statfsSync(root);
  if (bavail * bsize >= STEP_BYTES) return;
  giveBackStep(root);
  tryAllocating(root, SHARED_BYTES * 2, calls);
}

/** Gives blocks to the holes of the file that SQLite's processes share: the disk may be full when they are written. */
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

/** Allocates a file without a name, which is gone when it is closed. File systems without such files are not asked. */
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

/** Runs `work` again with a step of the reserve given up, as long as it fails with `store/full` and there is one. */
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

/** @returns false when nothing of the reserve is left. */
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
