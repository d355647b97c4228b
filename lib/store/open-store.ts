import { closeSync, openSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { debug } from "../core/debug.ts";
import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { makeDirectory } from "../core/make-directory.ts";
import { usersInWords, whileNobodyOpens } from "./alone.ts";
import { openBlobs } from "./blobs.ts";
import { openBuilds } from "./builds.ts";
import { openCacheMounts } from "./cache-mounts.ts";
import { Database } from "./database.ts";
import type { ScanCalls } from "./disk.ts";
import { openFacts } from "./facts.ts";
import { guarded } from "./failure.ts";
import type { LockCalls } from "./file-lock.ts";
import { Holds } from "./holds.ts";
import { openImages } from "./images.ts";
import { openLeases } from "./leases.ts";
import { openLogs } from "./logs.ts";
import { requireOwnStore } from "./ownership.ts";
import { openPulled } from "./pulled.ts";
import { openRecords } from "./records.ts";
import { openRefs } from "./refs.ts";
import { type AllocateCalls, fillSharedMemory, makeReserve, makeRoomToOpen, withReserve } from "./reserve.ts";
import { openSnapshots } from "./snapshots.ts";
import type { Store, StoreLayout } from "./store.ts";
import { Touches } from "./touches.ts";

export interface StoreOptions {
  /** The native addon, or its part that locks, measures and removes files. */
  readonly native: LockCalls & ScanCalls & AllocateCalls;
  readonly clock: { nowMs(): number };
}

/** A store together with the internals that collection and checking need, for this folder only. */
export interface OpenStore extends Store {
  readonly database: Database;
  readonly holds: Holds;
  readonly native: LockCalls & ScanCalls;
  readonly nowMs: () => number;
}

/**
 * Opens the store at `root`, or creates it. It takes a few file operations and reads nothing ahead.
 * @throws {BuildError} `store/version`, `store/locked`, `store/unusable`, `store/corrupt`, `store/full`
 */
export function openStore(root: string, options: StoreOptions): OpenStore {
  const layout = layoutOf(resolve(root));
  const nowMs = (): number => options.clock.nowMs();
  makeDirectories(layout);
  const database = withReserve(layout.root, () => openDatabase(layout, options.native));
  const holds = new Holds(layout.running, options.native);
  try {
    withReserve(layout.root, () => guarded(`use the store "${layout.root}"`, () => holds.register()));
    // A newer kiln may have migrated the store before it could see this registration. From now on it sees it.
    database.checkVersion();
  } catch (error) {
    holds[Symbol.dispose]();
    database[Symbol.dispose]();
    throw error;
  }
  debug("store", () => `opened ${layout.root}`);
  const recordTouches = new Touches(nowMs);
  const imageTouches = new Touches(nowMs);
  const blobs = openBlobs({ directory: layout.blobs, leases: layout.leases, holds, calls: options.native });
  const flush = (): void => {
    const records = recordTouches.take();
    const images = imageTouches.take();
    if (records.length + images.length === 0) return;
    try {
      database.transaction(() => {
        const inList = "IN (SELECT value FROM json_each(?))";
        database.run(`UPDATE records SET last_used_ms = ? WHERE id ${inList}`, nowMs(), JSON.stringify(records));
        database.run(`UPDATE images SET last_used_ms = ? WHERE digest ${inList}`, nowMs(), JSON.stringify(images));
      });
    } catch {
      // A full disk or a busy database: losing a use makes collection only a little less precise, and failing a
      // finished build would be worse.
    }
  };
  const facts = openFacts(database, holds, nowMs);
  return {
    root: layout.root,
    layout,
    blobs,
    refs: openRefs(database, holds, nowMs),
    images: openImages({ database, holds, blobs, touches: imageTouches, nowMs }),
    snapshots: openSnapshots(database, holds, nowMs),
    records: openRecords(database, holds, recordTouches, nowMs),
    facts,
    pulled: openPulled(facts, nowMs),
    builds: openBuilds({ database, holds, calls: options.native, running: layout.running, nowMs }),
    leases: openLeases(layout.leases, options.native),
    cacheMounts: openCacheMounts({
      directory: layout.cacheMounts,
      leases: layout.leases,
      calls: options.native,
      nowMs,
    }),
    logs: openLogs(layout.logs, (name) => holds.claim([`log:${name}`])),
    database,
    holds,
    native: options.native,
    nowMs,
    flush,
    async [Symbol.asyncDispose]() {
      flush();
      holds[Symbol.dispose]();
      database[Symbol.dispose]();
      // Opening on a full disk spent part of the reserve; refill it.
      makeReserve(layout.root);
    },
  };
}

function openDatabase(layout: StoreLayout, native: LockCalls & AllocateCalls): Database {
  const doing = `open the store "${layout.root}"`;
  guarded(doing, () => makeRoomToOpen(layout.root, native));
  const database = Database.open(layout.database, {
    alone: (work) => alone(layout.leases, native, work),
    withoutUsers: (work) =>
      whileNobodyOpens(layout.running, native, (users) => work(() => refuseToMigrate(users, layout.root))),
  });
  try {
    guarded(doing, () => fillSharedMemory(layout.database, native));
    return database;
  } catch (error) {
    database[Symbol.dispose]();
    throw error;
  }
}

/** @throws {BuildError} `store/locked` when some process has the store open: it would go on with tables that are no more */
function refuseToMigrate(users: number, root: string): void {
  if (users === 0) return;
  throw new BuildError(
    "store/locked",
    `Cannot bring the store "${root}" up to date: an older kiln wrote it, and ${usersInWords(users)}`,
    { hint: "wait for the builds that use it, or end them; or use another store with --root or KILN_ROOT" },
  );
}

function layoutOf(root: string): StoreLayout {
  return {
    root,
    blobs: join(root, "blobs", "sha256"),
    snapshots: join(root, "snapshots"),
    cacheMounts: join(root, "cache-mounts"),
    logs: join(root, "logs"),
    leases: join(root, "leases"),
    running: join(root, "running"),
    database: join(root, "kiln.db"),
  };
}

/** Makes missing directories, also in an existing store, after checking that no other user can change it. */
function makeDirectories(layout: StoreLayout): void {
  guarded(`make the store "${layout.root}"`, () => {
    const { root, blobs, snapshots, cacheMounts, logs, leases, running } = layout;
    try {
      makeDirectory(root, 0o700);
      requireOwnStore(root);
      // A user may have removed one of them to free space.
      const missing = [blobs, snapshots, cacheMounts, logs, leases, running].filter((path) => !isDirectory(path));
      for (const path of missing) makeDirectory(path, 0o700);
      closeSync(openSync(running, "r"));
      if (missing.length > 0) makeReserve(root);
    } catch (error) {
      throw unusable(root, error);
    }
  });
}

/**
 * Tells whether a directory exists.
 * @throws {Error} ENOTDIR for a file in the directory's place
 */
function isDirectory(path: string): boolean {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined || status.isDirectory()) return status !== undefined;
  throw Object.assign(new Error(`${path} is no directory`), { code: "ENOTDIR" });
}

/** Turns an error of opening into `store/unusable`. Other code reports a full disk. */
function unusable(root: string, error: unknown): unknown {
  if (!["EACCES", "EEXIST", "ENOENT", "ENOTDIR", "EPERM", "EROFS"].includes(errnoOf(error) ?? "")) return error;
  return new BuildError("store/unusable", `Cannot make the store "${root}": ${messageOf(error)}`, {
    hint: "choose a directory of yours with --root or KILN_ROOT",
    cause: error,
  });
}

/**
 * Runs `work` in one process at a time: SQLite refuses two processes that create tables concurrently, without waiting
 * (journal_mode).
 */
function alone<T>(directory: string, calls: LockCalls, work: () => T): T {
  const fd = openSync(directory, "r");
  try {
    calls.lockSync(fd, "exclusive");
    return work();
  } finally {
    closeSync(fd);
  }
}
