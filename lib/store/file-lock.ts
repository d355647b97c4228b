import { closeSync, constants, fstatSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { errnoOf } from "../core/errors.ts";
import { AT_FDCWD, S_IFIFO } from "../native/constants.ts";
import type { Native } from "../native/native.ts";

export type LockMode = "shared" | "exclusive";

/**
 * System calls that Node lacks, from the native addon. flock(2): a lock belongs to the open file. It ends when the last
 * descriptor is closed, and so when the process dies in any way.
 */
export type LockCalls = Pick<Native, "tryLock" | "lockSync" | "unlock" | "mknodat">;

/** A lock on a file that is created for it and removed by its last holder. */
export interface FileLock extends Disposable {
  readonly path: string;
  readonly mode: LockMode;
  /** Changes the lock from exclusive to shared without a gap, and wakes the waiters for a shared one. */
  share(): void;
}

/**
 * Takes the lock, or returns `undefined` when it is not free.
 *
 * The file is a FIFO, so that waiting is possible: a holder has it open for writing, so a waiter that opens it for
 * reading sees the end of the file when the last holder releases it or dies. No helper process, no polling, no blocked
 * thread.
 */
export function tryFileLock(calls: LockCalls, path: string, mode: LockMode): FileLock | undefined {
  for (;;) {
    // Open for reading and writing: opening a FIFO for writing only would wait for a reader.
    const fd = openOrMake(calls, path);
    if (!calls.tryLock(fd, mode)) {
      closeSync(fd);
      return undefined;
    }
    // An earlier holder may have removed the file between our open and our lock; the next process would then create and
    // lock another file of that name.
    if (isFileAt(fd, path)) return new HeldLock(calls, path, fd, mode);
    closeSync(fd);
  }
}

/**
 * Takes the lock, waiting for its holder. `wanted` is called before each attempt, because the right mode may change
 * meanwhile.
 */
export async function fileLock(
  calls: LockCalls,
  path: string,
  wanted: () => LockMode,
  signal: AbortSignal,
): Promise<{ readonly lock: FileLock; readonly waited: boolean }> {
  for (let waited = false; ; waited = true) {
    signal.throwIfAborted();
    const lock = tryFileLock(calls, path, wanted());
    if (lock !== undefined) return { lock, waited };
    const reader = openReader(path);
    if (reader === undefined) continue;
    // The holder may have left before the reader was open, and the reader would never see an end. One more attempt
    // settles it: either we get the lock, or there is a holder with an end that the reader will see.
    const second = tryFileLock(calls, path, wanted());
    if (second !== undefined) {
      closeSync(reader);
      return { lock: second, waited: true };
    }
    await endOf(reader, signal);
  }
}

class HeldLock implements FileLock {
  readonly path: string;
  readonly #calls: LockCalls;
  #fd: number | undefined;
  mode: LockMode;

  constructor(calls: LockCalls, path: string, fd: number, mode: LockMode) {
    this.#calls = calls;
    this.path = path;
    this.#fd = fd;
    this.mode = mode;
  }

  share(): void {
    if (this.#fd === undefined || this.mode === "shared") return;
    // Changing the lock in place would wake no waiter, and the kernel releases it for a moment. So a second file,
    // locked before it is visible, replaces the first one.
    const next = `${this.path}.next-${process.pid}-${this.#fd}`;
    rmSync(next, { force: true });
    const fd = openOrMake(this.#calls, next);
    this.#calls.tryLock(fd, "shared");
    renameSync(next, this.path);
    closeSync(this.#fd);
    this.#fd = fd;
    this.mode = "shared";
  }

  [Symbol.dispose](): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#fd = undefined;
    // The last holder removes the file before others can lock it. Where that fails, a file without holders stays
    // behind, and the next holder removes it.
    if (this.mode === "exclusive" || this.#calls.tryLock(fd, "exclusive")) {
      if (isFileAt(fd, this.path)) rmSync(this.path, { force: true });
    }
    closeSync(fd);
  }
}

function openOrMake(calls: LockCalls, path: string): number {
  for (;;) {
    try {
      return openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
    try {
      calls.mknodat(AT_FDCWD, path, S_IFIFO | 0o600);
    } catch (error) {
      // Another process created it in between. It may be gone again by now, so look again.
      if (errnoOf(error) !== "EEXIST") throw error;
    }
  }
}

function openReader(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined; // released in between
    throw error;
  }
}

function isFileAt(fd: number, path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  const opened = fstatSync(fd);
  return found !== undefined && found.ino === opened.ino && found.dev === opened.dev;
}

/** Waits until the FIFO has no writer, and closes it. */
async function endOf(fd: number, signal: AbortSignal): Promise<void> {
  // Loaded here and not at the top: waiting is rare, and loading sockets costs more than a cached build's look-ups.
  const { Socket } = process.getBuiltinModule("node:net");
  const socket = new Socket({ fd, readable: true, writable: false });
  await new Promise<void>((resolve) => {
    const abort = (): void => void socket.destroy();
    signal.addEventListener("abort", abort, { once: true });
    // Any end will do, errors included: the caller looks again.
    socket.on("error", abort);
    socket.on("close", () => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
    socket.resume();
    if (signal.aborted) abort();
  });
}
