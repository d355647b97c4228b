import type { SQLOutputValue } from "node:sqlite";
import type { Digest } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { digestIn, jsonIn, numberOf, optionalDigest, optionalNumber, optionalText, textOf } from "./columns.ts";
import { list } from "../core/shape.ts";
import type { Database, Row } from "./database.ts";
import type { Hold, Holds } from "./holds.ts";
import { keyPartShape } from "./key-part-shape.ts";
import { snapshotIdShape } from "./snapshot-id.ts";
import type { CacheRecord, KeyPart, SnapshotId } from "./model.ts";
import { insertLayerBlobs, insertSnapshots } from "./snapshots.ts";
import type { Records } from "./store.ts";
import type { Touches } from "./touches.ts";

const PARTS = list(keyPartShape);
const LAYERS = list(snapshotIdShape);

export function openRecords(database: Database, holds: Holds, touches: Touches, nowMs: () => number): Records {
  const read = (row: Row): CacheRecord => {
    const record = recordOf(row, () => {
      return row["parts"] ?? database.get("SELECT parts FROM records WHERE seq = ?", numberOf(row["seq"]))?.["parts"];
    });
    touches.saw(record.id, record.lastUsedMs);
    return record;
  };
  const one = (sql: string, value: string): CacheRecord | undefined =>
    holds.keep(
      () => {
        const row = database.get(sql, value);
        const record = row === undefined ? undefined : read(row);
        return record !== undefined && isWhole(record, "layers") ? record : undefined;
      },
      (record) => (record === undefined ? [] : holdsOf(record)),
    );
  const records: Records = {
    findByDefinitionKeys(keys) {
      return holds.keep(
        () => {
          const rows = database.all(
            `SELECT k.key AS found_key, ${ALL_BUT_PARTS} FROM json_each(?) AS wanted
             JOIN definition_keys AS k ON k.key = wanted.value JOIN records AS r ON r.seq = k.record`,
            JSON.stringify(keys),
          );
          const newest = new Map<Digest, Row>();
          for (const row of rows) {
            const key = digestIn(row["found_key"]);
            if (numberOf(row["seq"]) > numberOf(newest.get(key)?.["seq"] ?? -1)) newest.set(key, row);
          }
          const found = [...newest].map(([key, row]) => [key, read(row)] as const);
          return new Map(found.filter(([, record]) => isWhole(record, "layers")));
        },
        (found) => [...found.values()].flatMap(holdsOf),
      );
    },
    findByDefinitionKey(key) {
      return one(
        `SELECT r.* FROM definition_keys AS k JOIN records AS r ON r.seq = k.record
         WHERE k.key = ? ORDER BY r.seq DESC LIMIT 1`,
        key,
      );
    },
    findByContentKey(key) {
      return one("SELECT * FROM records WHERE content_key = ? ORDER BY seq DESC LIMIT 1", key);
    },
    get(id) {
      return one("SELECT * FROM records WHERE id = ?", id);
    },
    latestBySite(site, count) {
      // Read only for comparison: nothing is held, and a record's layers may be missing.
      return database
        .all("SELECT * FROM records WHERE site = ? ORDER BY seq DESC LIMIT ?", site, count)
        .map(whole)
        .filter((record) => isWhole(record, "parts"));
    },
    latestBySitePrefix(prefix, count) {
      const sql = "SELECT * FROM records WHERE site >= ? AND site < ? ORDER BY seq DESC LIMIT ?";
      return database
        .all(sql, prefix, `${prefix}\u{10ffff}`, count)
        .map(whole)
        .filter((record) => isWhole(record, "parts"));
    },
    list() {
      return database.all("SELECT * FROM records ORDER BY seq DESC").map(whole);
    },
    insert(record, { snapshots, aliases = [], layerBlobs = [] }) {
      const createdAtMs = nowMs();
      const inserted: CacheRecord = { ...record, createdAtMs, lastUsedMs: createdAtMs };
      // Before the rows: once they are visible, a collector may look at them.
      holds.add(holdsOf(inserted));
      database.transaction(() => {
        insertSnapshots(database, snapshots, createdAtMs);
        insertLayerBlobs(database, layerBlobs, createdAtMs);
        insertRecord(database, inserted);
        for (const key of [record.definitionKey, ...aliases]) addKey(database, record.id, key);
      });
      touches.saw(record.id, createdAtMs);
      return inserted;
    },
    forgetLayer(snapshot) {
      return database.run(
        "DELETE FROM records WHERE EXISTS (SELECT 1 FROM json_each(layers) WHERE value = ?)",
        snapshot,
      );
    },
    addAlias(recordId, definitionKey) {
      database.transaction(() => addKey(database, recordId, definitionKey));
    },
    touch(ids) {
      for (const id of ids) touches.touch(id);
    },
    wasPruned(definitionKey) {
      return database.get("SELECT 1 AS found FROM pruned_keys WHERE key = ?", definitionKey) !== undefined;
    },
  };
  return records;
}

/** Tells whether a member of a record is readable. A damaged record counts as none: its step runs again and is recorded anew. */
function isWhole(record: CacheRecord, member: "parts" | "layers"): boolean {
  try {
    return Array.isArray(record[member]);
  } catch (error) {
    if (error instanceof BuildError && error.code === "store/corrupt") return false;
    throw error;
  }
}

/** A query may hit a thousand records: their parts are most of the bytes, and callers do not need them. */
const ALL_BUT_PARTS = `r.seq, r.id, r.definition_key, r.content_key, r.site, r.name, r.layers, r.wall_ms, r.cpu_ms,
  r.peak_memory, r.log_file, r.producer, r.created_ms, r.last_used_ms`;

function insertRecord(database: Database, record: CacheRecord): void {
  database.run(
    `INSERT INTO records (id, definition_key, content_key, site, name, parts, layers, wall_ms, cpu_ms, peak_memory,
       log_file, producer, created_ms, last_used_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET parts = excluded.parts, layers = excluded.layers`,
    record.id,
    record.definitionKey,
    record.contentKey ?? null,
    record.site,
    record.name,
    JSON.stringify(record.parts),
    JSON.stringify(record.layers),
    record.wallMs,
    record.cpuMs,
    record.peakMemoryBytes ?? null,
    record.logFile ?? null,
    record.producer,
    record.createdAtMs,
    record.lastUsedMs,
  );
}

/** Adds a key. Does nothing when the record is gone: a record that nothing holds may be collected at any time. */
function addKey(database: Database, recordId: string, key: Digest): void {
  database.run(
    "INSERT OR IGNORE INTO definition_keys (key, record) SELECT ?, seq FROM records WHERE id = ?",
    key,
    recordId,
  );
  database.run("DELETE FROM pruned_keys WHERE key = ?", key);
}

function holdsOf(record: CacheRecord): Hold[] {
  return [
    `record:${record.id}`,
    ...record.layers.map((id) => `snapshot:${id}` as const),
    // A later miss is explained with the listings; losing one only makes that less precise.
  ];
}

/** Reads a record from a row with all columns. */
function whole(row: Row): CacheRecord {
  return recordOf(row, () => row["parts"]);
}

/** Makes a record. `parts` and `layers` are parsed when first read: a build with many hits reads few of them. */
function recordOf(row: Row, partsOf: () => SQLOutputValue | undefined): CacheRecord {
  let parts: readonly KeyPart[] | undefined;
  let layers: readonly SnapshotId[] | undefined;
  return {
    id: textOf(row["id"]),
    definitionKey: digestIn(row["definition_key"]),
    contentKey: optionalDigest(row["content_key"]),
    site: textOf(row["site"]),
    name: textOf(row["name"]),
    get parts() {
      return (parts ??= jsonIn({ parts: partsOf() ?? null }, "parts", PARTS));
    },
    get layers() {
      return (layers ??= jsonIn(row, "layers", LAYERS));
    },
    wallMs: numberOf(row["wall_ms"]),
    cpuMs: numberOf(row["cpu_ms"]),
    peakMemoryBytes: optionalNumber(row["peak_memory"]),
    logFile: optionalText(row["log_file"]),
    producer: textOf(row["producer"]),
    createdAtMs: numberOf(row["created_ms"]),
    lastUsedMs: numberOf(row["last_used_ms"]),
  };
}
