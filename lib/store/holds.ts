import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { randomUUID } from "node:crypto";
import { errnoOf } from "../core/errors.ts";
import { guarded } from "./failure.ts";
import type { LockCalls } from "./file-lock.ts";

/**
 * An item that a running process relies on: `image:<digest>`, `record:<id>`, and, by the names of their files and
 * directories, snapshots, blobs, logs, and a build's own folders (`scratch`).
 */
export type Hold = `${"snapshot" | "blob" | "image" | "record" | "log" | "scratch"}:${string}`;

function isHold(line: string): line is Hold {
  return /^(?:snapshot|blob|image|record|log|scratch):./.test(line);
}

/** Everything that living processes on the store hold, this one included. */
export interface Running {
  readonly held: ReadonlySet<Hold>;
  /** Files of killed processes. They are removed together with those processes' unfinished work, and not before. */
  readonly killed: readonly string[];
  /**
   * The time at which the oldest of them opened the store, in the file system's own time: a file that changed later may
   * be in use.
   */
  readonly oldestStartMs: number;
}

/**
 * Protection of items in use by running processes from garbage collection.
 *
 * Every open store has a file in `running/`, locked as long as its process lives, with one line for each item it was
 * given. Looking something up and writing that line happen under a shared lock on `running/lock`; a collector takes it
 * exclusively while it reads all lines and deletes rows. So a look-up sees a row that will stay, or none. An item that
 * the database does not know yet (a directory, a temporary file) gets its line before it is made. An item without a
 * line is kept when it is younger than the oldest running process.
 */
export class Holds implements Disposable {
  readonly #directory: string;
  readonly #calls: LockCalls;
  readonly #held = new Set<Hold>();
  #files: { readonly lock: number; readonly own: number; readonly path: string } | undefined;

  constructor(directory: string, calls: LockCalls) {
    this.#directory = directory;
    this.#calls = calls;
  }

  /** Runs a look-up so that its result stays. `look` must not wait. */
  keep<T>(look: () => T, holdsOf: (found: T) => Iterable<Hold>): T {
    const { lock, own } = this.#open();
    // Blocks the process, but only for a collector's one transaction; the kernel ends that wait if the collector dies.
    this.#calls.lockSync(lock, "shared");
    try {
      const found = look();
      this.#append(own, holdsOf(found));
      return found;
    } finally {
      this.#calls.unlock(lock);
    }
  }

  /**
   * Holds items that are about to be made, under the shared lock: a collector at work has listed its directories before
   * they exist, or comes later and finds the line.
   */
  claim(holds: Iterable<Hold>): void {
    this.keep(
      () => holds,
      (claimed) => claimed,
    );
  }

  /** Holds items in the making, with names that no other process can know yet. */
  add(holds: Iterable<Hold>): void {
    this.#append(this.#open().own, holds);
  }

  /** Writes a line that is no hold, for readers of killed processes' files. */
  note(line: string): void {
    writeSync(this.#open().own, `${line}\n`);
  }

  /** True once this process has looked something up or made something. */
  get isRegistered(): boolean {
    return this.#files !== undefined;
  }

  /** Registers this process unless it is registered. From now on its new files are safe. */
  register(): void {
    this.#open();
  }

  /** Runs a collector's transaction while no other process can look anything up. `work` must not wait. */
  collect<T>(work: (running: Running) => T): T {
    const { lock } = this.#open();
    this.#calls.lockSync(lock, "exclusive");
    try {
      return work(guarded("read what running builds use", () => this.#running()));
    } finally {
      this.#calls.unlock(lock);
    }
  }

  [Symbol.dispose](): void {
    const files = this.#files;
    if (files === undefined) return;
    this.#files = undefined;
    this.#held.clear();
    rmSync(files.path, { force: true });
    closeSync(files.own);
    closeSync(files.lock);
  }

  #open(): { readonly lock: number; readonly own: number } {
    if (this.#files !== undefined) return this.#files;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const lock = openSync(join(this.#directory, "lock"), "a", 0o600);
    const path = join(this.#directory, randomUUID());
    // Under the shared lock: a collector takes a file without a lock for a dead process's.
    this.#calls.lockSync(lock, "shared");
    let own: number | undefined;
    try {
      own = openSync(path, "ax", 0o600);
      this.#calls.lockSync(own, "exclusive");
      writeSync(own, `${fstatSync(own).mtimeMs}\n`);
    } catch (error) {
      rmSync(path, { force: true });
      if (own !== undefined) closeSync(own);
      closeSync(lock);
      throw error;
    }
    this.#calls.unlock(lock);
    this.#files = { lock, own, path };
    return this.#files;
  }

  #append(own: number, holds: Iterable<Hold>): void {
    let lines = "";
    for (const hold of holds) {
      if (this.#held.has(hold)) continue;
      this.#held.add(hold);
      lines += `${hold}\n`;
    }
    if (lines !== "") guarded("note what this build uses", () => writeSync(own, lines));
  }

  /** Reads the lines of living processes, under the exclusive lock. */
  #running(): Running {
    const held = new Set<Hold>();
    const killed: string[] = [];
    let oldestStartMs = Infinity;
    for (const name of readdirSync(this.#directory)) {
      if (name === "lock") continue;
      const path = join(this.#directory, name);
      const text = path === this.#files?.path ? readFileSync(path, "utf8") : this.#readLocked(path);
      if (text === undefined) {
        killed.push(path);
        continue;
      }
      const [start, ...lines] = text.split("\n");
      // A file that does not say when: everything may be in use.
      oldestStartMs = Math.min(oldestStartMs, Number.isFinite(Number(start)) ? Number(start) : 0);
      for (const line of lines) if (isHold(line)) held.add(line);
    }
    return { held, killed, oldestStartMs };
  }

  /**
   * Reads the lines of a living process; `undefined` when it is dead. It may end, and remove the file, at any moment.
   */
  #readLocked(path: string): string | undefined {
    let fd: number;
    try {
      fd = openSync(path, "r");
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined; // its process ended just now
      throw error;
    }
    try {
      return this.#calls.tryLock(fd, "shared") ? undefined : readFileSync(fd, "utf8");
    } finally {
      closeSync(fd);
    }
  }
}
