import { closeSync, constants, fstatSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { errnoOf } from "../core/errors.ts";
import { AT_FDCWD, S_IFIFO } from "../native/constants.ts";
import type { Native } from "../native/native.ts";

export type LockMode = "shared" | "exclusive";

/**
 * The kernel's part, which Node has no functions for: a slice of the native addon. flock(2): a lock belongs to the open
 * file, so that it is gone when the last descriptor is closed, and with it when the process dies in whatever way.
 */
export type LockCalls = Pick<Native, "tryLock" | "lockSync" | "unlock" | "mknodat">;

/** A lock on a file that is made for it and removed by its last holder. */
export interface FileLock extends Disposable {
  readonly path: string;
  readonly mode: LockMode;
  /** From exclusive to shared without a moment in between; wakes those who wait for a shared one. */
  share(): void;
}

/**
 * Takes the lock or returns `undefined` when it cannot be had now.
 *
 * The file is a FIFO, for the sake of those who wait: a holder has it open for writing, so a waiter that opens it for
 * reading sees the end of the file when the last holder lets go or dies. No helper process, no polling, no blocked thread.
 */
export function tryFileLock(calls: LockCalls, path: string, mode: LockMode): FileLock | undefined {
  for (;;) {
    // Read and write: opening a FIFO for writing only would wait for a reader.
    const fd = openOrMake(calls, path);
    if (!calls.tryLock(fd, mode)) {
      closeSync(fd);
      return undefined;
    }
    // A holder before us may have removed the file between our open and our lock; the next one to come would make and
    // lock another file of that name.
    if (isFileAt(fd, path)) return new HeldLock(calls, path, fd, mode);
    closeSync(fd);
  }
}

/** Takes the lock, waiting for whoever holds it. `wanted` is asked before each attempt: what is right may change meanwhile. */
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
    // The holder may have gone before the reader was open, which would then never see an end. Trying once more settles
    // it: either we get the lock, or there is a holder whose end the reader will see.
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
    // Changing the lock in place would wake nobody, and the kernel gives it up for a moment. So a second file, locked
    // before anybody can see it, takes the first one's name.
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
    // The last holder removes the file, before others can lock it. Where that fails a file without holders stays behind,
    // which the next holder removes.
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
      // Somebody else made it in between; it may be gone again by now, so look again.
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

/** Waits until nobody has the FIFO open for writing, and closes it. */
async function endOf(fd: number, signal: AbortSignal): Promise<void> {
  // Here and not at the top: waiting is rare, and loading sockets costs more than a cached build's look-ups.
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
