import { digestFromHex } from "../core/digest.ts";
import { numberOf, textOf } from "./columns.ts";
import { DiskMeter, entriesOf } from "./disk.ts";
import type { OpenStore } from "./open-store.ts";

/** Bytes on disk of every file and directory of a store, as `du` counts them. */
export interface MeasuredFiles {
  /** Bytes of snapshots by id, cache mounts by directory name, blobs by digest, logs by file name. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Bytes of everything below the root: the above, the database, unfinished and doomed files. */
  readonly totalBytes: number;
}

/**
 * Measures all files. A file that several snapshots share counts for the newest of them: the older ones are given up
 * first, and the shared file stays. Snapshots without a row come last: layers merged from others, and garbage.
 */
export async function measureFiles(store: OpenStore, signal: AbortSignal): Promise<MeasuredFiles> {
  const { layout, root } = store;
  const meter = new DiskMeter(store.native);
  const sizes = new Map<string, number>();
  let totalBytes = 0;
  const add = (name: string, bytes: number): void => {
    sizes.set(name, bytes);
    totalBytes += bytes;
  };
  const rows = store.database.all("SELECT id, created_ms FROM snapshots");
  const madeMs = new Map(rows.map((row) => [textOf(row["id"]), numberOf(row["created_ms"])]));
  const snapshots = [...entriesOf(layout.snapshots)].toSorted(
    (left, right) => (madeMs.get(right.name) ?? 0) - (madeMs.get(left.name) ?? 0),
  );
  for (const { name, path } of snapshots) add(name, await meter.bytesOf(path, signal));
  for (const { name, path } of entriesOf(layout.cacheMounts)) add(name, await meter.bytesOf(path, signal));
  for (const { name, diskBytes } of entriesOf(layout.blobs)) add(blobName(name), diskBytes);
  for (const { name, diskBytes } of entriesOf(layout.logs)) add(name, diskBytes);
  const listed = new Set([layout.snapshots, layout.cacheMounts, layout.logs]);
  for (const { path, name, diskBytes } of entriesOf(root)) {
    // The listed directories' own blocks; all others with their content, but not the blobs a second time.
    const isListed = listed.has(path) || name === "blobs";
    totalBytes += isListed ? diskBytes : await meter.bytesOf(path, signal);
  }
  return { sizes, totalBytes };
}

/** Returns a blob's digest from its file name, or the plain name of another file. */
export function blobName(fileName: string): string {
  return /^[0-9a-f]{64}$/.test(fileName) ? digestFromHex(fileName) : fileName;
}
