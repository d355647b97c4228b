import type { Digest } from "../core/digest.ts";
import { type Inventory, type InventoryRecord, layerFiles, namedBlobs, readInventory } from "./inventory.ts";
import { measureFiles } from "./measure.ts";
import type { OpenStore } from "./open-store.ts";

/** Disk usage of a store. Each byte belongs to one item; the items and `otherBytes` add up to `totalBytes`. */
export interface Usage {
  /** Bytes as `du` counts them, below the root. */
  readonly totalBytes: number;
  /** Largest first. */
  readonly items: readonly UsageItem[];
  /** The database, lock files, unfinished work and garbage. */
  readonly otherBytes: number;
}

export interface UsageItem {
  readonly kind: "image" | "step" | "cache-mount" | "blob" | "layer";
  /** Digest of an image or blob, or id of a record, cache mount or snapshot. */
  readonly id: string;
  /** Names of an image, display name of a step, id of a cache mount. */
  readonly description: string;
  readonly bytes: number;
  /** True when other images or steps stand on it. */
  readonly shared: boolean;
  /** Recorded time that it took to make, in milliseconds. */
  readonly wallMs: number | undefined;
  readonly createdAtMs: number;
  readonly lastUsedMs: number;
}

/**
 * Measures the usage. A layer belongs to the step that made it, otherwise to the first image that has it. Only `step`
 * items of records that made a layer take space; the others are listed with the size of their log and listings.
 */
export async function usage(store: OpenStore, signal: AbortSignal): Promise<Usage> {
  const { sizes, totalBytes } = await measureFiles(store, signal);
  const inventory = readInventory(store.database);
  const taken = new Set<string>();
  const take = (names: Iterable<string | undefined>): number => {
    let bytes = 0;
    for (const name of names) {
      if (name === undefined || taken.has(name)) continue;
      taken.add(name);
      bytes += sizes.get(name) ?? 0;
    }
    return bytes;
  };
  const users = usersOf(inventory);
  const filesOf = layerFiles(inventory);
  const items = [
    ...inventory.records.map((record) => stepItem(record, users, filesOf, take)),
    ...imageItems(inventory, users, filesOf, take),
    ...blobItems(inventory, take),
    ...store.cacheMounts.list().map((mount): UsageItem => {
      const name = mount.directory.split("/").at(-2) ?? "";
      const { id, createdAtMs, lastUsedMs } = mount;
      return {
        kind: "cache-mount",
        id,
        description: id,
        bytes: take([name]),
        shared: false,
        wallMs: undefined,
        createdAtMs,
        lastUsedMs,
      };
    }),
    ...[...inventory.snapshots.values()].flatMap((snapshot): UsageItem[] => {
      const bytes = take([snapshot.id]);
      const { id, createdMs: createdAtMs, lastUsedMs } = snapshot;
      // A step that ran again with an equal result leaves its new layer: the older, equal one was kept instead.
      const description = users.has(id) ? id : "unused, goes with the next prune";
      return bytes === 0
        ? []
        : [{ kind: "layer", id, description, bytes, shared: false, wallMs: undefined, createdAtMs, lastUsedMs }];
    }),
  ].toSorted((a, b) => b.bytes - a.bytes);
  const itemBytes = items.reduce((sum, { bytes }) => sum + bytes, 0);
  return { totalBytes, items, otherBytes: totalBytes - itemBytes };
}

type FilesOf = ReturnType<typeof layerFiles>;
type Take = (names: Iterable<string | undefined>) => number;

/** Counts the records and images that have a layer. */
function usersOf(inventory: Inventory): ReadonlyMap<string, number> {
  const users = new Map<string, number>();
  const images = inventory.images.filter(({ kind }) => kind === "image");
  for (const stack of [...inventory.records.map(({ layers }) => layers), ...images.map(({ members }) => members)]) {
    for (const id of new Set(stack)) users.set(id, (users.get(id) ?? 0) + 1);
  }
  return users;
}

function stepItem(
  record: InventoryRecord,
  users: ReadonlyMap<string, number>,
  filesOf: FilesOf,
  take: Take,
): UsageItem {
  const top = record.layers.at(-1);
  return {
    kind: "step",
    id: record.id,
    description: record.name,
    bytes: take([...(top === undefined ? [] : filesOf(top)), ...record.listings, record.logFile]),
    shared: top !== undefined && (users.get(top) ?? 0) > 1,
    wallMs: record.wallMs,
    createdAtMs: record.createdMs,
    lastUsedMs: record.lastUsedMs,
  };
}

function imageItems(
  inventory: Inventory,
  users: ReadonlyMap<string, number>,
  filesOf: FilesOf,
  take: Take,
): UsageItem[] {
  return inventory.images.map((image) => {
    const layers = image.kind === "image" ? image.members : [];
    const names = [...inventory.refs].filter(([, digest]) => digest === image.digest).map(([name]) => name);
    return {
      kind: "image",
      id: image.digest,
      description: names.join(", "),
      bytes: take([image.digest, image.config, ...layers.flatMap(filesOf)]),
      shared: layers.some((id) => (users.get(id) ?? 0) > 1),
      wallMs: undefined,
      createdAtMs: image.createdMs,
      lastUsedMs: image.lastUsedMs,
    };
  });
}

/** Lists compressed layers, and blobs that facts refer to. */
function blobItems(inventory: Inventory, take: Take): UsageItem[] {
  return [...namedBlobs(inventory)].flatMap((digest: Digest): UsageItem[] => {
    const bytes = take([digest]);
    const added = inventory.localBlobs.get(digest)?.addedMs ?? 0;
    if (bytes === 0) return [];
    const description = inventory.localBlobs.has(digest) ? "compressed layer" : "";
    return [
      {
        kind: "blob",
        id: digest,
        description,
        bytes,
        shared: false,
        wallMs: undefined,
        createdAtMs: added,
        lastUsedMs: added,
      },
    ];
  });
}
