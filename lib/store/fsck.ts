import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Digest, hexOf, isDigest } from "../core/digest.ts";
import { BuildError, errnoOf } from "../core/errors.ts";
import { findDamagedRows, removeRows } from "./damaged-rows.ts";
import { entriesOf } from "./disk.ts";
import { ownFailure } from "./failure.ts";
import { type Inventory, readInventory } from "./inventory.ts";
import { blobName } from "./measure.ts";
import type { SnapshotId } from "./model.ts";
import { snapshotId } from "./snapshot-id.ts";
import type { OpenStore } from "./open-store.ts";
import { findGarbage } from "./garbage.ts";

export interface FsckOptions {
  /**
   * Removes damaged items and everything that needs them: the next build or pull makes them again. It never loses a
   * good image.
   */
  readonly repair: boolean;
  /**
   * Makes the tar of a present layer again and returns its digest, for comparison with the recorded diffID; `undefined`
   * where the files do not determine the original tar. Without this function, fsck only checks that snapshots exist.
   */
  readonly diffIdOf?: (snapshot: SnapshotId, directory: string, signal: AbortSignal) => Promise<Digest | undefined>;
  /**
   * Checks only items made since then (milliseconds since the epoch), and treats them as damaged unless known to be
   * whole: a layer without a reproducible tar is given up where it can be had again, one that was never measured in any
   * case.
   */
  readonly suspectSince?: number;
}

export interface FsckProblem {
  readonly kind:
    | "database"
    | "row-damaged"
    | "blob-damaged"
    | "snapshot-missing"
    | "snapshot-damaged"
    | "record-broken"
    | "image-broken"
    | "ref-broken";
  /** Digest, id or name of the damaged item. */
  readonly id: string;
  readonly message: string;
  readonly repaired: boolean;
}

export interface FsckResult {
  readonly problems: readonly FsckProblem[];
  /** Files that no row names: not a problem, collection removes them. */
  readonly garbage: number;
  readonly checkedBlobs: number;
  readonly checkedSnapshots: number;
}

/** Compares the database with the files on disk, and bytes with their digests. */
export async function fsck(store: OpenStore, options: FsckOptions, signal: AbortSignal): Promise<FsckResult> {
  const found: Omit<FsckProblem, "repaired">[] = store.database
    .problems()
    .map((message) => ({ kind: "database", id: "kiln.db", message }));
  const { suspectSince = 0 } = options;
  const blobs = entriesOf(store.layout.blobs)
    .filter(({ path }) => suspectSince === 0 || isFrom(path, suspectSince))
    .map(({ name }) => blobName(name))
    .filter(isDigest);
  for (const digest of blobs) {
    if (await isWhole(store, digest, signal)) continue;
    found.push({ kind: "blob-damaged", id: digest, message: `Blob "${digest}" does not have its digest` });
    if (options.repair) await store.blobs.remove(digest);
  }
  const rows = findDamagedRows(store.database);
  for (const { table, key, why } of rows) {
    const id = `${table} ${key.join(" ")}`;
    found.push({ kind: "row-damaged", id, message: `Row "${key.join(" ")}" of the table "${table}": ${why}` });
  }
  if (options.repair) store.database.transaction(() => removeRows(store.database, rows));
  else if (rows.length > 0) return resultOf(found, { garbage: 0, checkedBlobs: blobs.length, checkedSnapshots: 0 });
  const inventory = readInventory(store.database);
  const present = [...inventory.snapshots.values()].filter(
    ({ state, createdMs }) => state === "present" && createdMs >= suspectSince,
  );
  for (const { id, diffId } of present) {
    const directory = join(store.layout.snapshots, id);
    if (!existsSync(directory)) {
      found.push({ kind: "snapshot-missing", id, message: `The files of snapshot "${id}" are gone` });
      continue;
    }
    const isSuspect = (): boolean =>
      suspectSince > 0 && (diffId === undefined || canBeMadeAgain(inventory, id, (blob) => store.blobs.has(blob)));
    const actual = diffId && (await options.diffIdOf?.(snapshotId(id), directory, signal));
    if (actual === undefined ? !isSuspect() : actual === diffId) continue;
    const message =
      actual === undefined
        ? `The files of snapshot "${id}" cannot be checked`
        : `The files of snapshot "${id}" were changed: their digest is "${actual}"`;
    found.push({ kind: "snapshot-damaged", id, message });
    if (options.repair) await rm(directory, { recursive: true, force: true });
  }
  const lost = new Set(found.filter(({ kind }) => kind.startsWith("snapshot-")).map(({ id }) => id));
  const damaged = new Set(found.filter(({ kind }) => kind === "blob-damaged").map(({ id }) => id));
  const broken = brokenRows(inventory, { lost, damaged, has: (digest) => existsSync(store.blobs.pathOf(digest)) });
  if (options.repair) store.database.transaction(() => repair(store, inventory, lost, broken));
  const running = store.holds.collect((all) => all);
  const garbage = findGarbage(store, { before: inventory, after: inventory }, running).length;
  const counts = { garbage, checkedBlobs: blobs.length, checkedSnapshots: present.length };
  return resultOf([...found, ...broken], counts, options.repair);
}

function resultOf(
  problems: readonly Omit<FsckProblem, "repaired">[],
  counts: Omit<FsckResult, "problems">,
  isRepaired = false,
): FsckResult {
  const told = problems.map((problem) => ({ ...problem, repaired: isRepaired && problem.kind !== "database" }));
  return { problems: told, ...counts };
}

function isFrom(path: string, sinceMs: number): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) >= sinceMs;
}

/** Finds rows that refer to something missing, and rows that refer to those. */
function brokenRows(
  inventory: Inventory,
  files: { readonly lost: ReadonlySet<string>; readonly damaged: ReadonlySet<string>; has(digest: Digest): boolean },
): Omit<FsckProblem, "repaired">[] {
  const { lost, damaged } = files;
  const isThere = (digest: Digest): boolean => !damaged.has(digest) && files.has(digest);
  const canReturn = (id: string): boolean => canBeMadeAgain(inventory, id, isThere);
  const isUsable = (id: string): boolean => {
    const state = inventory.snapshots.get(id)?.state;
    return state !== undefined && ((state === "present" && !lost.has(id)) || canReturn(id));
  };
  const problems: Omit<FsckProblem, "repaired">[] = [];
  for (const { id, name, layers } of inventory.records) {
    const missing = layers.find((layer) => !isUsable(layer));
    if (missing !== undefined)
      problems.push({ kind: "record-broken", id, message: `The record of "${name}" needs snapshot "${missing}"` });
  }
  const gone = new Set<string>();
  for (const image of inventory.images) {
    const documents = image.config === undefined ? [image.digest] : [image.digest, image.config];
    const missing =
      documents.find((digest) => !isThere(digest)) ??
      (image.kind === "image" ? image.members.find((layer) => !isUsable(layer)) : undefined);
    if (missing === undefined) continue;
    gone.add(image.digest);
    problems.push({ kind: "image-broken", id: image.digest, message: `Image "${image.digest}" needs "${missing}"` });
  }
  const known = new Set(inventory.images.map(({ digest }) => digest));
  for (const [name, digest] of inventory.refs) {
    if (known.has(digest) && !gone.has(digest)) continue;
    problems.push({
      kind: "ref-broken",
      id: name,
      message: `"${name}" names image "${digest}", which is not there or not whole`,
    });
  }
  return problems;
}

/** Tells whether a layer's files can be unpacked again from a blob, here or in a registry. */
function canBeMadeAgain(inventory: Inventory, id: string, isThere: (digest: Digest) => boolean): boolean {
  const diffId = inventory.snapshots.get(id)?.diffId;
  if (diffId === undefined) return false;
  if (inventory.fetchable.has(diffId)) return true;
  return [...inventory.localBlobs].some(([digest, blob]) => blob.diffId === diffId && isThere(digest));
}

function repair(
  store: OpenStore,
  inventory: Inventory,
  lost: ReadonlySet<string>,
  broken: readonly Omit<FsckProblem, "repaired">[],
): void {
  const { database } = store;
  for (const { kind, id } of broken) {
    if (kind === "record-broken") database.run("DELETE FROM records WHERE id = ?", id);
    if (kind === "image-broken") database.run("DELETE FROM images WHERE digest = ?", id);
    if (kind === "ref-broken") database.run("DELETE FROM refs WHERE name = ?", id);
  }
  for (const id of lost) {
    const isThere = (digest: Digest): boolean => existsSync(store.blobs.pathOf(digest));
    // A layer that a registry or a blob has comes back by itself when a step needs it.
    if (canBeMadeAgain(inventory, id, isThere))
      database.run("UPDATE snapshots SET state = 'absent', disk_bytes = NULL WHERE id = ?", id);
    else database.run("DELETE FROM snapshots WHERE id = ?", id);
  }
  for (const digest of inventory.localBlobs.keys()) {
    if (!existsSync(store.blobs.pathOf(digest))) {
      database.run("DELETE FROM layer_blobs WHERE digest = ? AND repository = ''", digest);
    }
  }
}

async function isWhole(store: OpenStore, digest: Digest, signal: AbortSignal): Promise<boolean> {
  const hash = createHash("sha256");
  try {
    await pipeline(store.blobs.open(digest), hash, { signal });
  } catch (error) {
    // Another process collected it meanwhile.
    if (error instanceof BuildError && error.code === "store/corrupt") return true;
    signal.throwIfAborted();
    // A directory in its place is not the blob either.
    if (errnoOf(error) === "EISDIR") return false;
    throw ownFailure(`read blob "${digest}"`, error);
  }
  return hash.digest("hex") === hexOf(digest);
}
