import { join } from "node:path";
import { timed } from "../core/debug.ts";
import { digestOf, hexOf } from "../core/digest.ts";
import { type FileLock, fileLock, type LockCalls, tryFileLock } from "./file-lock.ts";
import type { Lease, Leases } from "./store.ts";

/**
 * Opens the leases: locked files, not rows. A row would have to name its holder (pid and start time), be checked for
 * whether that process still lives, and be polled by waiters. The kernel releases a file lock by itself, also across
 * pid namespaces, and wakes the waiters.
 */
export function openLeases(directory: string, calls: LockCalls): Leases {
  const pathOf = (key: string): string => join(directory, hexOf(digestOf(key)).slice(0, 40));
  return {
    async acquire(key, signal) {
      const take = () => fileLock(calls, pathOf(key), () => "exclusive", signal);
      const { lock, waited } = await timed("store", () => `take the lease of ${key}`, take);
      return new HeldLease(key, waited, lock);
    },
    tryAcquire(key) {
      const lock = tryFileLock(calls, pathOf(key), "exclusive");
      return lock === undefined ? undefined : new HeldLease(key, false, lock);
    },
  };
}

class HeldLease implements Lease {
  readonly key: string;
  readonly waited: boolean;
  readonly #lock: FileLock;

  constructor(key: string, waited: boolean, lock: FileLock) {
    this.key = key;
    this.waited = waited;
    this.#lock = lock;
  }

  [Symbol.dispose](): void {
    this.#lock[Symbol.dispose]();
  }
}
