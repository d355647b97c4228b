import { descriptorShape } from "../core/descriptor-shape.ts";
import { type Digest, isDigest } from "../core/digest.ts";
import { DIGEST, list, TEXT } from "../core/shape.ts";
import { digestIn, jsonIn, numberOf, optionalDigest, optionalText, textOf } from "./columns.ts";
import type { Database } from "./database.ts";
import { keyPartShape } from "./key-part-shape.ts";
import { isPulled } from "./pulled.ts";

/** All rows that keep files alive, read at once: the basis of collection, usage and checking. */
export interface Inventory {
  readonly records: readonly InventoryRecord[];
  readonly images: readonly InventoryImage[];
  readonly snapshots: ReadonlyMap<string, InventorySnapshot>;
  /** Compressed layers in the store, by blob digest. */
  readonly localBlobs: ReadonlyMap<
    Digest,
    { readonly diffId: Digest; readonly size: number; readonly addedMs: number }
  >;
  /** DiffIDs of layers that a registry has. */
  readonly fetchable: ReadonlySet<Digest>;
  readonly refs: ReadonlyMap<string, Digest>;
  readonly facts: readonly {
    readonly kind: string;
    readonly key: string;
    readonly blobs: readonly Digest[];
    readonly updatedMs: number;
  }[];
}

export interface InventoryRecord {
  readonly id: string;
  readonly name: string;
  readonly site: string;
  readonly layers: readonly string[];
  readonly listings: readonly Digest[];
  readonly logFile: string | undefined;
  readonly wallMs: number;
  readonly createdMs: number;
  readonly lastUsedMs: number;
}

export interface InventoryImage {
  readonly digest: Digest;
  readonly kind: "image" | "index";
  readonly config: Digest | undefined;
  /** Snapshot ids of an image, manifest digests of an index. */
  readonly members: readonly string[];
  readonly createdMs: number;
  readonly lastUsedMs: number;
}

export interface InventorySnapshot {
  readonly id: string;
  readonly state: "present" | "absent";
  readonly diffId: Digest | undefined;
  readonly createdMs: number;
  readonly lastUsedMs: number;
}

const TEXTS = list(TEXT);
const PARTS = list(keyPartShape);
const BLOBS = list(DIGEST);

export function readInventory(database: Database): Inventory {
  const blobs = database.all("SELECT diff_id, digest, repository, descriptor, added_ms FROM layer_blobs");
  return {
    records: database.all("SELECT * FROM records ORDER BY seq").map((row) => ({
      id: textOf(row["id"]),
      name: textOf(row["name"]),
      site: textOf(row["site"]),
      layers: jsonIn(row, "layers", TEXTS),
      listings: jsonIn(row, "parts", PARTS).flatMap(({ listing }) => listing ?? []),
      logFile: optionalText(row["log_file"]),
      wallMs: numberOf(row["wall_ms"]),
      createdMs: numberOf(row["created_ms"]),
      lastUsedMs: numberOf(row["last_used_ms"]),
    })),
    images: database.all("SELECT * FROM images ORDER BY created_ms, digest").map((row) => ({
      digest: digestIn(row["digest"]),
      kind: row["kind"] === "index" ? "index" : "image",
      config: optionalDigest(row["config_digest"]),
      members: jsonIn(row, "members", TEXTS),
      createdMs: numberOf(row["created_ms"]),
      lastUsedMs: numberOf(row["last_used_ms"]),
    })),
    snapshots: new Map(
      database.all("SELECT * FROM snapshots ORDER BY id").map((row) => {
        const id = textOf(row["id"]);
        const snapshot: InventorySnapshot = {
          id,
          state: row["state"] === "present" ? "present" : "absent",
          diffId: optionalDigest(row["diff_id"]),
          createdMs: numberOf(row["created_ms"]),
          lastUsedMs: numberOf(row["last_used_ms"]),
        };
        return [id, snapshot];
      }),
    ),
    localBlobs: new Map(
      blobs
        .filter((row) => row["repository"] === "")
        .map((row) => [
          digestIn(row["digest"]),
          {
            diffId: digestIn(row["diff_id"]),
            size: jsonIn(row, "descriptor", descriptorShape).size,
            addedMs: numberOf(row["added_ms"]),
          },
        ]),
    ),
    fetchable: new Set(blobs.filter((row) => row["repository"] !== "").map((row) => digestIn(row["diff_id"]))),
    refs: new Map(
      database.all("SELECT name, digest FROM refs").map((row) => [textOf(row["name"]), digestIn(row["digest"])]),
    ),
    facts: database.all("SELECT kind, key, blobs, updated_ms FROM facts").map((row) => ({
      kind: textOf(row["kind"]),
      key: textOf(row["key"]),
      blobs: jsonIn(row, "blobs", BLOBS),
      updatedMs: numberOf(row["updated_ms"]),
    })),
  };
}

/**
 * Lists images that a name leads to, directly or through an index; with `pulled`, also images known by a name of their
 * registry's.
 */
export function namedImages(inventory: Inventory, which?: "pulled"): ReadonlySet<Digest> {
  const pulled = which === undefined ? [] : inventory.facts.filter(isPulled).flatMap(({ blobs }) => blobs);
  const named = new Set([...inventory.refs.values(), ...pulled]);
  for (const image of inventory.images) {
    if (image.kind === "index" && named.has(image.digest))
      for (const member of image.members) if (isDigest(member)) named.add(member);
  }
  return named;
}

/**
 * Returns the names under which a layer's bytes are measured: its files, or, if no registry has them, the blobs from
 * which they will be made.
 */
export function layerFiles({ snapshots, localBlobs, fetchable }: Inventory): (id: string) => readonly string[] {
  const blobs = Map.groupBy(localBlobs, ([, { diffId }]) => diffId);
  return (id) => {
    const { state, diffId } = snapshots.get(id) ?? { state: "present", diffId: undefined };
    if (state === "present" || diffId === undefined || fetchable.has(diffId)) return [id];
    return [id, ...(blobs.get(diffId) ?? []).map(([digest]) => digest)];
  };
}

/** Lists blobs that some row names. All others are garbage. */
export function namedBlobs(inventory: Inventory): Set<Digest> {
  const named = new Set<Digest>(inventory.refs.values());
  for (const image of inventory.images) {
    named.add(image.digest);
    if (image.config !== undefined) named.add(image.config);
  }
  for (const record of inventory.records) for (const listing of record.listings) named.add(listing);
  for (const fact of inventory.facts) for (const blob of fact.blobs) named.add(blob);
  for (const blob of inventory.localBlobs.keys()) named.add(blob);
  return named;
}
