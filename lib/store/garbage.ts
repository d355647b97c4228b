import { constants, renameSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { errnoOf } from "../core/errors.ts";
import { mapLimit } from "../core/limits.ts";
import { logsOfBuilds } from "./builds.ts";
import { entriesOf } from "./disk.ts";
import type { Hold, Running } from "./holds.ts";
import { type Inventory, namedBlobs } from "./inventory.ts";
import { blobName } from "./measure.ts";
import type { OpenStore } from "./open-store.ts";

export interface Garbage {
  /** Name as in the measured sizes. */
  readonly name: string;
  readonly path: string;
  /** The hold of a process that relies on it. */
  readonly hold: Hold;
}

/**
 * Finds files that no row names and no running process holds. A file that no row named earlier either must also be
 * older than every running process: a younger one may be a process's work before its row is written.
 */
export function findGarbage(
  store: OpenStore,
  rows: { readonly before: Inventory; readonly after: Inventory },
  running: Running,
): readonly Garbage[] {
  const { layout } = store;
  const { before, after } = rows;
  const garbageIn = (
    directory: string,
    of: (fileName: string) => { readonly name: string; readonly hold: Hold },
    names: { readonly before: (name: string) => boolean; readonly after: (name: string) => boolean },
  ): Garbage[] =>
    entriesOf(directory).flatMap(({ name: fileName, path, changedMs }) => {
      const { name, hold } = of(fileName);
      if (names.after(name) || running.held.has(hold)) return [];
      return names.before(name) || changedMs < running.oldestStartMs ? [{ name, path, hold }] : [];
    });
  const isSnapshot = (inventory: Inventory) => (name: string) =>
    // `empty` is the bottom of every tree without one of its own.
    name === "empty" || inventory.snapshots.get(name)?.state === "present";
  const isBlob = (inventory: Inventory): ((name: string) => boolean) => {
    const named: ReadonlySet<string> = namedBlobs(inventory);
    return (name) => named.has(name);
  };
  const ofBuilds = logsOfBuilds(store.database, (name) => store.logs.pathOf(name));
  const isLog = (inventory: Inventory): ((name: string) => boolean) => {
    const named = new Set(inventory.records.map(({ logFile }) => logFile));
    return (name) => named.has(name) || ofBuilds.has(name);
  };
  return [
    ...garbageIn(layout.snapshots, (name) => ({ name, hold: `snapshot:${name}` }), {
      before: isSnapshot(before),
      after: isSnapshot(after),
    }),
    ...garbageIn(layout.blobs, (name) => ({ name: blobName(name), hold: `blob:${blobName(name)}` }), {
      before: isBlob(before),
      after: isBlob(after),
    }),
    ...garbageIn(layout.logs, (name) => ({ name, hold: `log:${name}` }), {
      before: isLog(before),
      after: isLog(after),
    }),
  ];
}

/** Moves a path out of sight at once; it is deleted later, when no process waits. */
export function moveAside(path: string, trash: string): void {
  try {
    renameSync(path, join(trash, randomUUID()));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error; // its maker removed it first
  }
}

/** Deletes everything in the trash, including files of processes that died after moving them there. */
export async function emptyTrash(store: OpenStore, path: string, signal: AbortSignal): Promise<void> {
  const fd = store.native.openPath(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await mapLimit(entriesOf(path), CONCURRENT_REMOVALS, signal, ({ name }) => store.native.removeTree(fd, name));
  } finally {
    store.native.close(fd);
  }
}

/** Concurrent removals: Node has four threads for them. */
const CONCURRENT_REMOVALS = 4;
