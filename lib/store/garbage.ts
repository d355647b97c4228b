import { constants, renameSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { errnoOf } from "../core/errors.ts";
import { mapLimit } from "../core/limits.ts";
import { entriesOf } from "./disk.ts";
import type { Hold, Running } from "./holds.ts";
import { type Inventory, namedBlobs } from "./inventory.ts";
import { blobName } from "./measure.ts";
import type { OpenStore } from "./open-store.ts";

export interface Garbage {
  /** As in the measured sizes. */
  readonly name: string;
  readonly path: string;
  /** What a process that relies on it has noted. */
  readonly hold: Hold;
}

/**
 * Files that no row names and no running process holds. Of those that no row named before either, only what is older
 * than every running process: the others may be somebody's work whose row is still to come.
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
    // `empty` is the bottom of every tree that has none of its own.
    name === "empty" || inventory.snapshots.get(name)?.state === "present";
  const isBlob = (inventory: Inventory): ((name: string) => boolean) => {
    const named: ReadonlySet<string> = namedBlobs(inventory);
    return (name) => named.has(name);
  };
  const isLog = (inventory: Inventory): ((name: string) => boolean) => {
    const named = new Set(inventory.records.map(({ logFile }) => logFile));
    return (name) => named.has(name);
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

/** Out of sight at once; deleted later, when nobody waits. */
export function moveAside(path: string, trash: string): void {
  try {
    renameSync(path, join(trash, randomUUID()));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error; // its maker was faster
  }
}

/** Whoever moved things aside and died left them here: everything goes. */
export async function emptyTrash(store: OpenStore, path: string, signal: AbortSignal): Promise<void> {
  const fd = store.native.openPath(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await mapLimit(entriesOf(path), CONCURRENT_REMOVALS, signal, ({ name }) => store.native.removeTree(fd, name));
  } finally {
    store.native.close(fd);
  }
}

/** As many as Node has threads for them. */
const CONCURRENT_REMOVALS = 4;
