import { closeSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../core/errors.ts";
import type { LockCalls } from "./file-lock.ts";

/**
 * Runs `work` while no process can register on the store or look anything up in it, and tells it how many processes have the
 * store open. `work` must not wait.
 */
export function whileNobodyOpens<T>(running: string, calls: LockCalls, work: (users: number) => T): T {
  mkdirSync(running, { recursive: true, mode: 0o700 });
  const lock = openSync(join(running, "lock"), "a", 0o600);
  try {
    calls.lockSync(lock, "exclusive");
    const files = readdirSync(running).filter((name) => name !== "lock");
    return work(files.filter((name) => isLocked(calls, join(running, name))).length);
  } finally {
    closeSync(lock);
  }
}

/** Phrase for messages: "2 running kilns use it". */
export function usersInWords(users: number): string {
  return `${users} running kiln${users === 1 ? " uses" : "s use"} it`;
}

/**
 * Tells whether the process of a file in `running` lives. It may end, and remove the file, at any moment. A killed process's
 * file stays: it names what that process left unfinished.
 */
function isLocked(calls: LockCalls, path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
  try {
    return !calls.tryLock(fd, "exclusive");
  } finally {
    closeSync(fd);
  }
}
