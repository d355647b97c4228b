import { mkdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { unreachable } from "../core/errors.ts";
import { claimPath } from "./cache-mounts.ts";
import { type CacheMountUse, type CollectionOptions, planCollection, type Victim } from "./collection-plan.ts";
import { entriesOf } from "./disk.ts";
import { tryFileLock } from "./file-lock.ts";
import { emptyTrash, findGarbage, type Garbage, moveAside } from "./garbage.ts";
import type { Hold, Running } from "./holds.ts";
import { type Inventory, readInventory } from "./inventory.ts";
import { removeLeftovers } from "./leftovers.ts";
import { type MeasuredFiles, measureFiles } from "./measure.ts";
import type { OpenStore } from "./open-store.ts";
import { makeReserve, releaseReserve } from "./reserve.ts";

export interface PruneOptions extends Partial<CollectionOptions> {
  /** Sizes, if just measured. */
  readonly measured?: MeasuredFiles;
  /** True to report victims without removing them. */
  readonly dryRun?: boolean;
}

export interface PruneResult {
  /** Victims in the order chosen: least valuable first. */
  readonly victims: readonly Victim[];
  /** Bytes of files that nothing named any more: left by killed processes and by deleted items. */
  readonly garbageBytes: number;
  /** Bytes on disk before, and freed (with `dryRun`: that would be freed). */
  readonly totalBytes: number;
  readonly freedBytes: number;
}

/** Facts can be computed again; facts unwritten for so long belong to contexts and URLs of the past. */
const FACT_LIFE_MS = 60 * 24 * 3600 * 1000;
const MAX_PRUNED_KEYS = 20_000;
/** Victims per batch; other processes' look-ups wait some ten milliseconds for one. */
const BATCH = 250;
/** Limit of plans when other processes keep changing the rows. The next collection goes on. */
const MAX_PLANS = 50;

/**
 * Frees space, least valuable items first, safely beside running builds.
 *
 * Measuring and planning take no lock. Victims then go in batches. While no other process can look anything up, prune
 * checks that no process has written since the plan was made and that none holds a victim; then the batch's rows go in
 * one transaction. Otherwise it makes a new plan. Files are only moved aside, and deleted last, while other processes
 * work. A process killed in between leaves garbage that the next collection finds.
 */
export async function prune(store: OpenStore, options: PruneOptions, signal: AbortSignal): Promise<PruneResult> {
  const { sizes, totalBytes } = options.measured ?? (await measureFiles(store, signal));
  const wanted = { keepBytes: 0, all: false, usedBeforeMs: undefined, kinds: undefined, ...options };
  const first = look(store);
  const orphanBytes = bytesIn(
    findGarbage(store, { before: first.inventory, after: first.inventory }, first.running),
    sizes,
  );
  const planFor = (view: View, freed: number): readonly Victim[] => {
    const { inventory, cacheMounts, running } = view;
    const state = { inventory, cacheMounts, held: running.held, sizes, nowMs: store.nowMs() };
    return planCollection({ ...state, totalBytes: totalBytes - orphanBytes - freed }, wanted);
  };
  if (options.dryRun === true) {
    const planned = planFor(first, 0);
    return { victims: planned, garbageBytes: orphanBytes, totalBytes, freedBytes: orphanBytes + bytesIn(planned) };
  }
  releaseReserve(store.root);
  const trash = join(store.root, "trash");
  mkdirSync(trash, { recursive: true, mode: 0o700 });
  const victims: Victim[] = [];
  await inBatches(
    store,
    first,
    {
      plan: (view) => planFor(view, bytesIn(victims)),
      holds: holdsOf,
      take: (batch) => void victims.push(...giveUp(store, batch, trash)),
    },
    signal,
  );
  forget(store, wanted.all);
  const swept: Garbage[] = [];
  await inBatches(
    store,
    look(store),
    {
      plan: (view) => findUnused(store, first.inventory, view),
      holds: ({ hold }) => [hold],
      take: (batch) => {
        deleteSnapshots(store, batch);
        for (const { path } of batch) if (path !== undefined) moveAside(path, trash);
        swept.push(...batch.flatMap(({ path, ...rest }) => (path === undefined ? [] : [{ path, ...rest }])));
      },
    },
    signal,
  );
  await emptyTrash(store, trash, signal);
  await removeLeftovers(store, signal);
  // Lock files of killed processes.
  for (const { path } of entriesOf(store.layout.leases))
    tryFileLock(store.native, path, "exclusive")?.[Symbol.dispose]();
  store.database.compact();
  makeReserve(store.root);
  const mountBytes = bytesIn(victims.filter(({ kind }) => kind === "cache-mount"));
  const freedBytes = bytesIn(swept, sizes) + mountBytes;
  return { victims, garbageBytes: Math.max(0, freedBytes - bytesIn(victims)), totalBytes, freedBytes };
}

/** The basis of a plan. */
interface View {
  /** Version of the database, read first: any later write makes the rest out of date. */
  readonly version: number;
  readonly inventory: Inventory;
  readonly running: Running;
  readonly cacheMounts: readonly CacheMountUse[];
}

function look(store: OpenStore): View {
  return {
    version: store.database.version(),
    running: store.holds.collect((running) => running),
    inventory: readInventory(store.database),
    cacheMounts: store.cacheMounts.list().map(({ directory, lastUsedMs }) => ({
      name: basename(dirname(directory)),
      lastUsedMs,
    })),
  };
}

/** A collection in batches: what is to go, what would be noted by a process that relies on it, and how it goes. */
interface BatchWork<T> {
  plan(view: View): readonly T[];
  holds(item: T): readonly Hold[];
  take(batch: readonly T[]): void;
}

/** Plans, and takes what was planned batch by batch, planning again whenever another process came in between. */
async function inBatches<T>(store: OpenStore, first: View, work: BatchWork<T>, signal: AbortSignal): Promise<void> {
  let view = first;
  for (let plans = 0; plans < MAX_PLANS; plans += 1) {
    if (plans > 0) view = look(store);
    const planned = work.plan(view);
    let at = 0;
    let isCurrent = true;
    for (; at < planned.length && isCurrent; at += BATCH) {
      signal.throwIfAborted();
      const batch = planned.slice(at, at + BATCH);
      // The holds are read first: a process that ended before that wrote before that, and the version shows it.
      isCurrent = store.holds.collect(({ held }) => {
        const isFree = batch.every((item) => work.holds(item).every((hold) => !held.has(hold)));
        if (!isFree || store.database.version() !== view.version) return false;
        work.take(batch);
        return true;
      });
      // A process waiting for the lock gets it only if it stays free for a moment.
      await pause(1, undefined, { signal });
    }
    if (isCurrent) return;
  }
}

/** Lists the holds of a process that relies on a victim. */
function holdsOf(victim: Victim): readonly Hold[] {
  switch (victim.kind) {
    case "step": {
      const records = victim.records.map(({ id }): Hold => `record:${id}`);
      return victim.snapshot === undefined ? records : [...records, `snapshot:${victim.snapshot}`];
    }
    case "layer":
      return [`snapshot:${victim.snapshot}`];
    case "blob":
      return [`blob:${victim.digest}`];
    case "image":
      return [`image:${victim.digest}`];
    case "cache-mount":
      return []; // has a lock of its own
    default:
      return unreachable(victim);
  }
}

/**
 * Removes the victims' rows and moves their files aside.
 * @returns the removed victims: mounted cache mounts stay
 */
function giveUp(store: OpenStore, batch: readonly Victim[], trash: string): readonly Victim[] {
  const taken = batch.filter((victim) => victim.kind !== "cache-mount" || giveUpCacheMount(store, victim.name, trash));
  store.database.transaction(() => {
    for (const victim of taken) deleteRows(store, victim);
  });
  return taken;
}

/** Deletes the oldest pruned keys and stale facts. */
function forget(store: OpenStore, all: boolean): void {
  store.database.transaction(() => {
    store.database.run(
      "DELETE FROM pruned_keys WHERE key IN (SELECT key FROM pruned_keys ORDER BY pruned_ms DESC LIMIT -1 OFFSET ?)",
      MAX_PRUNED_KEYS,
    );
    store.database.run("DELETE FROM facts WHERE updated_ms < ?", store.nowMs() - FACT_LIFE_MS);
    // Facts about fetched files go; indexes of file digests are small, and without them every context is read again.
    if (all) store.database.run("DELETE FROM facts WHERE blobs <> '[]'");
  });
}

/** A file that nothing names, the row of a layer that nothing stands on, or both. */
interface Unused extends Omit<Garbage, "path"> {
  readonly path: string | undefined;
  readonly row: string | undefined;
}

/**
 * Finds unused files and rows.
 * @param before rows at the beginning: files that they named are garbage however young they are
 */
function findUnused(store: OpenStore, before: Inventory, { inventory, running }: View): readonly Unused[] {
  const used = new Set<string>(inventory.records.flatMap(({ layers }) => layers));
  for (const image of inventory.images) if (image.kind === "image") for (const id of image.members) used.add(id);
  const isUnused = (id: string): boolean => !used.has(id) && !running.held.has(`snapshot:${id}`);
  const rows = new Set([...inventory.snapshots.keys()].filter(isUnused));
  const snapshots = new Map([...inventory.snapshots].filter(([id]) => !rows.has(id)));
  const diffIds = new Set([...snapshots.values()].map(({ diffId }) => diffId));
  const localBlobs = new Map([...inventory.localBlobs].filter(([, blob]) => diffIds.has(blob.diffId)));
  const after = { ...inventory, snapshots, localBlobs };
  const files = findGarbage(store, { before, after }, running);
  const withFiles = new Set(files.map(({ name }) => name));
  return [
    ...files.map((file): Unused => ({ ...file, row: rows.has(file.name) ? file.name : undefined })),
    ...[...rows]
      .filter((id) => !withFiles.has(id))
      .map((id): Unused => ({ name: id, path: undefined, hold: `snapshot:${id}`, row: id })),
  ];
}

/** Deletes rows of snapshots, and the rows of blobs of layers that are gone. */
function deleteSnapshots(store: OpenStore, batch: readonly Unused[]): void {
  const rows = batch.flatMap(({ row }) => row ?? []);
  if (rows.length === 0) return;
  store.database.transaction(() => {
    for (const id of rows) store.database.run("DELETE FROM snapshots WHERE id = ?", id);
    store.database.run(
      "DELETE FROM layer_blobs WHERE NOT EXISTS (SELECT 1 FROM snapshots AS s WHERE s.diff_id = layer_blobs.diff_id)",
    );
  });
}

/** Adds up the bytes of victims, or of named files by their measured sizes. */
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
      // The compression was noted, and what a note names is kept.
      database.run("DELETE FROM facts WHERE kind = 'compressed-layer' AND blobs = ?", JSON.stringify([victim.digest]));
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

/** Deletes a record. Its keys are remembered for a while, so that the next miss can give the reason. */
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

/**
 * Removes a cache mount. A process that has it mounted holds the lock. A new process waits for us and finds it gone.
 */
function giveUpCacheMount(store: OpenStore, name: string, trash: string): boolean {
  using lock = tryFileLock(store.native, claimPath(store.layout.leases, name), "exclusive");
  if (lock === undefined) return false;
  moveAside(join(store.layout.cacheMounts, name), trash);
  return true;
}
