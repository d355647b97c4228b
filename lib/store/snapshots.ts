import type { Digest } from "../core/digest.ts";
import { descriptorShape } from "../core/descriptor-shape.ts";
import { formatRuns, type LayerRuns, parseRuns } from "../core/run-interval.ts";
import {
  digestIn,
  jsonIn,
  numberOf,
  optionalDigest,
  optionalNumber,
  optionalText,
  snapshotIdIn,
  textOf,
} from "./columns.ts";
import type { Database, Row } from "./database.ts";
import type { Holds } from "./holds.ts";
import type { LayerBlob, SnapshotRow } from "./model.ts";
import type { NewSnapshot, Snapshots } from "./store.ts";

export function openSnapshots(database: Database, holds: Holds, nowMs: () => number): Snapshots {
  const rows = (sql: string, value: string): readonly SnapshotRow[] =>
    holds.keep(
      () => database.all(sql, value).map(snapshotOf),
      (found) => found.map(({ id }) => `snapshot:${id}` as const),
    );
  return {
    insert(snapshots) {
      holds.add(snapshots.map(({ id }) => `snapshot:${id}` as const));
      database.transaction(() => insertSnapshots(database, snapshots, nowMs()));
    },
    get(id) {
      return rows("SELECT * FROM snapshots WHERE id = ?", id)[0];
    },
    getMany(ids) {
      // One statement for any number: the values of a JSON list, in its order.
      return rows(
        "SELECT s.* FROM json_each(?) AS wanted JOIN snapshots AS s ON s.id = wanted.value ORDER BY wanted.key",
        JSON.stringify(ids),
      );
    },
    learn(id, facts) {
      database.run(
        `UPDATE snapshots SET diff_id = coalesce(?, diff_id), tar_size = coalesce(?, tar_size),
           content_digest = coalesce(?, content_digest), disk_bytes = coalesce(?, disk_bytes) WHERE id = ?`,
        facts.diffId ?? null,
        facts.tarSizeBytes ?? null,
        facts.contentDigest ?? null,
        facts.diskBytes ?? null,
        id,
      );
    },
    markPresent(id) {
      holds.add([`snapshot:${id}`]);
      database.run("UPDATE snapshots SET state = 'present', last_used_ms = ? WHERE id = ?", nowMs(), id);
    },
    byDiffId(diffId) {
      return rows("SELECT * FROM snapshots WHERE diff_id = ? ORDER BY created_ms, id", diffId);
    },
    byContentDigest(digest) {
      return rows("SELECT * FROM snapshots WHERE content_digest = ? ORDER BY created_ms, id", digest);
    },
    layerBlobs(diffId) {
      return holds.keep(
        () =>
          database
            .all("SELECT * FROM layer_blobs WHERE diff_id = ? ORDER BY repository, digest", diffId)
            .map(layerBlobOf),
        (blobs) => blobs.map(({ descriptor }) => `blob:${descriptor.digest}` as const),
      );
    },
    addLayerBlob(blob) {
      holds.add([`blob:${blob.descriptor.digest}`]);
      insertLayerBlobs(database, [blob], nowMs());
    },
    forgetLayerBlob({ diffId, descriptor }) {
      database.run("DELETE FROM layer_blobs WHERE diff_id = ? AND digest = ?", diffId, descriptor.digest);
    },
    repositoriesOf(blob: Digest) {
      return database
        .all(
          "SELECT DISTINCT repository FROM layer_blobs WHERE digest = ? AND repository <> '' ORDER BY repository",
          blob,
        )
        .map((row) => textOf(row["repository"]));
    },
  };
}

/**
 * Inserts rows. Another process may have inserted the same layer of an image a moment ago, or know less about it. So
 * rows are merged: present files stay present, and known facts stay known.
 */
export function insertSnapshots(database: Database, snapshots: readonly NewSnapshot[], nowMs: number): void {
  for (const { id, state, diffId, tarSizeBytes, contentDigest, runs, diskBytes, createdAtMs } of snapshots) {
    database.run(
      `INSERT INTO snapshots (id, state, diff_id, tar_size, content_digest, disk_bytes, created_ms, last_used_ms, run_ns)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?8, ?7, ?9)
       ON CONFLICT (id) DO UPDATE SET
         state = CASE WHEN excluded.state = 'present' THEN 'present' ELSE state END,
         diff_id = coalesce(diff_id, excluded.diff_id), tar_size = coalesce(tar_size, excluded.tar_size),
         content_digest = coalesce(content_digest, excluded.content_digest), run_ns = coalesce(run_ns, excluded.run_ns),
         disk_bytes = coalesce(excluded.disk_bytes, disk_bytes), last_used_ms = excluded.last_used_ms`,
      id,
      state,
      diffId ?? null,
      tarSizeBytes ?? null,
      contentDigest ?? null,
      diskBytes ?? null,
      nowMs,
      createdAtMs ?? nowMs,
      runs === undefined ? null : formatRuns(runs),
    );
  }
}

export function insertLayerBlobs(database: Database, blobs: readonly LayerBlob[], nowMs: number): void {
  for (const { diffId, descriptor, repository } of blobs) {
    database.run(
      `INSERT INTO layer_blobs (diff_id, digest, repository, descriptor, added_ms) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (diff_id, digest, repository) DO UPDATE SET descriptor = excluded.descriptor`,
      diffId,
      descriptor.digest,
      repository ?? "",
      JSON.stringify(descriptor),
      nowMs,
    );
  }
}

function snapshotOf(row: Row): SnapshotRow {
  return {
    id: snapshotIdIn(row["id"]),
    state: row["state"] === "present" ? "present" : "absent",
    diffId: optionalDigest(row["diff_id"]),
    tarSizeBytes: optionalNumber(row["tar_size"]),
    contentDigest: optionalDigest(row["content_digest"]),
    runs: runsIn(optionalText(row["run_ns"])),
    diskBytes: optionalNumber(row["disk_bytes"]),
    createdAtMs: numberOf(row["created_ms"]),
    lastUsedMs: numberOf(row["last_used_ms"]),
  };
}

function runsIn(text: string | undefined): LayerRuns {
  return text === undefined ? undefined : parseRuns(text);
}

function layerBlobOf(row: Row): LayerBlob {
  const repository = textOf(row["repository"]);
  return {
    diffId: digestIn(row["diff_id"]),
    descriptor: jsonIn(row, "descriptor", descriptorShape),
    repository: repository === "" ? undefined : repository,
  };
}
