import { constants, mkdirSync, renameSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { errnoOf, unreachable } from "../core/errors.ts";
import { claimPath } from "./cache-mounts.ts";
import { type CollectionOptions, planCollection, type Victim } from "./collection-plan.ts";
import { entriesOf } from "./disk.ts";
import { tryFileLock } from "./file-lock.ts";
import type { Hold, Running } from "./holds.ts";
import { type Inventory, namedBlobs, readInventory } from "./inventory.ts";
import { blobName, type MeasuredFiles, measureFiles } from "./measure.ts";
import { makeReserve, releaseReserve } from "./reserve.ts";
import type { OpenStore } from "./open-store.ts";

export interface PruneOptions extends Partial<CollectionOptions> {
  /** Sizes, by whoever has just measured them. */
  readonly measured?: MeasuredFiles;
  /** Says what would go and leaves it. */
  readonly dryRun?: boolean;
}

export interface PruneResult {
  /** In the order chosen: least valuable first. */
  readonly victims: readonly Victim[];
  /** What nothing named any more: left by killed processes and by what was deleted. */
  readonly garbageBytes: number;
  /** Bytes on disk before, and freed (with `dryRun`: that would be). */
  readonly totalBytes: number;
  readonly freedBytes: number;
}

/** Facts can be had again by looking; those nobody wrote for so long belong to contexts and URLs of the past. */
const FACT_LIFE_MS = 60 * 24 * 3600 * 1000;
const MAX_PRUNED_KEYS = 20_000;

/**
 * Frees space, least valuable first, safe beside running builds.
 *
 * Sizes are measured first, without any lock. Then, while no other process can look anything up, the plan is made from
 * the rows as they are and the rows go in one transaction; the files are only moved aside. They are deleted last, with
 * everybody at work again. A process killed in between leaves garbage that the next collection finds.
 */
export async function prune(store: OpenStore, options: PruneOptions, signal: AbortSignal): Promise<PruneResult> {
  const { sizes, totalBytes } = options.measured ?? (await measureFiles(store, signal));
  const plan = { keepBytes: 0, all: false, usedBeforeMs: undefined, kinds: undefined, ...options };
  const trash = join(store.root, "trash");
  if (options.dryRun !== true) releaseReserve(store.root);
  const result = store.holds.collect((running): PruneResult => {
    const before = readInventory(store.database);
    const cacheMounts = store.cacheMounts.list().map(({ directory, lastUsedMs }) => ({
      name: basename(dirname(directory)),
      lastUsedMs,
    }));
    const orphanBytes = bytesIn(findGarbage(store, { before, after: before }, running), sizes);
    const state = { inventory: before, held: running.held, sizes, cacheMounts, nowMs: store.nowMs() };
    const planned = planCollection({ ...state, totalBytes: totalBytes - orphanBytes }, plan);
    if (options.dryRun === true) {
      return { victims: planned, garbageBytes: orphanBytes, totalBytes, freedBytes: orphanBytes + bytesIn(planned) };
    }
    mkdirSync(trash, { recursive: true, mode: 0o700 });
    const victims = planned.filter(
      (victim) => victim.kind !== "cache-mount" || giveUpCacheMount(store, victim.name, trash),
    );
    const after = store.database.transaction(() => {
      for (const victim of victims) deleteRows(store, victim);
      store.database.run(
        "DELETE FROM pruned_keys WHERE key IN (SELECT key FROM pruned_keys ORDER BY pruned_ms DESC LIMIT -1 OFFSET ?)",
        MAX_PRUNED_KEYS,
      );
      store.database.run("DELETE FROM facts WHERE updated_ms < ?", store.nowMs() - FACT_LIFE_MS);
      // What was fetched goes; indexes of file digests are small, and without them every context is read again.
      if (plan.all) store.database.run("DELETE FROM facts WHERE blobs <> '[]'");
      deleteUnusedSnapshots(store, running);
      return readInventory(store.database);
    });
    const garbage = findGarbage(store, { before, after }, running);
    for (const { path } of garbage) moveAside(path, trash);
    const mountBytes = bytesIn(victims.filter(({ kind }) => kind === "cache-mount"));
    const freedBytes = bytesIn(garbage, sizes) + mountBytes;
    return { victims, garbageBytes: Math.max(0, freedBytes - bytesIn(victims)), totalBytes, freedBytes };
  });
  if (options.dryRun === true) return result;
  await emptyDirectory(store, trash, signal);
  // Lock files of killed processes.
  for (const { path } of entriesOf(store.layout.leases))
    tryFileLock(store.native, path, "exclusive")?.[Symbol.dispose]();
  store.database.compact();
  makeReserve(store.root);
  return result;
}

/** Of victims, or of named files by their measured sizes. */
function bytesIn(things: readonly { readonly bytes: number }[]): number;
function bytesIn(things: readonly { readonly name: string }[], sizes: ReadonlyMap<string, number>): number;
function bytesIn(
  things: readonly ({ readonly bytes: number } | { readonly name: string })[],
  sizes?: ReadonlyMap<string, number>,
): number {
  return things.reduce((sum, thing) => sum + ("bytes" in thing ? thing.bytes : (sizes?.get(thing.name) ?? 0)), 0);
}

function deleteRows(store: OpenStore, victim: Victim): void {
  const { database } = store;
  switch (victim.kind) {
    case "step":
      for (const { id } of victim.records) deleteRecord(store, id);
      return;
    case "layer":
      database.run("UPDATE snapshots SET state = 'absent', disk_bytes = NULL WHERE id = ?", victim.snapshot);
      return;
    case "blob":
      database.run("DELETE FROM layer_blobs WHERE digest = ? AND repository = ''", victim.digest);
      return;
    case "image":
      database.run("DELETE FROM images WHERE digest = ?", victim.digest);
      return;
    case "cache-mount":
      return; // has no rows
    default:
      unreachable(victim);
  }
}

/** Its keys are remembered for a while, so that the next miss can say why. */
function deleteRecord(store: OpenStore, id: string): void {
  const { database } = store;
  database.run(
    `INSERT OR REPLACE INTO pruned_keys (key, pruned_ms)
     SELECT k.key, ? FROM definition_keys AS k JOIN records AS r ON r.seq = k.record WHERE r.id = ?`,
    store.nowMs(),
    id,
  );
  database.run("DELETE FROM records WHERE id = ?", id);
}

/** Whoever has it mounted holds the lock. Whoever comes now waits for us, and finds it gone. */
function giveUpCacheMount(store: OpenStore, name: string, trash: string): boolean {
  using lock = tryFileLock(store.native, claimPath(store.layout.leases, name), "exclusive");
  if (lock === undefined) return false;
  moveAside(join(store.layout.cacheMounts, name), trash);
  return true;
}

/** Rows of layers that no record and no image stands on any more, and of their blobs. */
function deleteUnusedSnapshots(store: OpenStore, running: Running): void {
  const { records, images, snapshots } = readInventory(store.database);
  const used = new Set<string>(records.flatMap(({ layers }) => layers));
  for (const image of images) if (image.kind === "image") for (const id of image.members) used.add(id);
  for (const id of snapshots.keys()) {
    if (!used.has(id) && !running.held.has(`snapshot:${id}`))
      store.database.run("DELETE FROM snapshots WHERE id = ?", id);
  }
  store.database.run(
    "DELETE FROM layer_blobs WHERE NOT EXISTS (SELECT 1 FROM snapshots AS s WHERE s.diff_id = layer_blobs.diff_id)",
  );
}

interface Garbage {
  /** As in the measured sizes. */
  readonly name: string;
  readonly path: string;
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
    of: (fileName: string) => { readonly name: string; readonly hold: Hold | undefined },
    names: { readonly before: (name: string) => boolean; readonly after: (name: string) => boolean },
  ): Garbage[] =>
    entriesOf(directory).flatMap(({ name: fileName, path, changedMs }) => {
      const { name, hold } = of(fileName);
      if (names.after(name) || (hold !== undefined && running.held.has(hold))) return [];
      return names.before(name) || changedMs < running.oldestStartMs ? [{ name, path }] : [];
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
    ...garbageIn(layout.logs, (name) => ({ name, hold: undefined }), { before: isLog(before), after: isLog(after) }),
  ];
}

function moveAside(path: string, trash: string): void {
  try {
    renameSync(path, join(trash, randomUUID()));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error; // its maker was faster
  }
}

async function emptyDirectory(store: OpenStore, path: string, signal: AbortSignal): Promise<void> {
  const fd = store.native.openPath(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const { name } of entriesOf(path)) {
      signal.throwIfAborted();
      await store.native.removeTree(fd, name);
    }
  } finally {
    store.native.close(fd);
  }
}
