import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../core/errors.ts";
import { type FsckOptions, fsck } from "./fsck.ts";
import { guarded } from "./failure.ts";
import type { OpenStore } from "./open-store.ts";

/*
 * Repairs a store after a power failure. A killed process leaves whole files behind; a machine that loses power may
 * not. Rows and names can reach the disk before the bytes they describe, and flushing those would cost a step more
 * than the step itself. So each store remembers the boot of its last use, in its file `boot`. In another boot, the
 * files written shortly before the last use are read again and compared with their digests, once, before anything
 * relies on them. Older files had reached the disk: the kernel writes data older than half a minute
 * (vm.dirty_expire_centisecs).
 */

/** Four times the kernel's delay. */
const WRITTEN_BACK_MS = 120_000;

/**
 * Removes files that a power failure damaged, so that they are made or fetched again. Without a restart it costs two
 * small reads.
 * @param bootId of the running kernel; `undefined` where it is unknown, and then nothing is checked
 * @returns the number of damaged files and layers
 */
export async function repairAfterRestart(
  store: OpenStore,
  { bootId, diffIdOf }: { readonly bootId: string | undefined } & Required<Pick<FsckOptions, "diffIdOf">>,
  signal: AbortSignal,
): Promise<number> {
  const path = join(store.root, "boot");
  if (bootId === undefined || bootOf(path) === bootId) return 0;
  // A second process waits here, and finds the work done.
  using _lease = await store.leases.acquire("restart", signal);
  if (bootOf(path) === bootId) return 0;
  const lastUse = lastUseMs(store);
  const suspectSince = lastUse - WRITTEN_BACK_MS;
  const { problems } =
    lastUse === 0 ? { problems: [] } : await fsck(store, { repair: true, suspectSince, diffIdOf }, signal);
  guarded(`write "${path}"`, () => {
    // Renamed, so that no process reads half of it.
    writeFileSync(`${path}.new`, bootId);
    renameSync(`${path}.new`, path);
  });
  return problems.filter(({ kind }) => kind.endsWith("-damaged") || kind.endsWith("-missing")).length;
}

/** Returns milliseconds since the epoch; 0 for an empty store. */
function lastUseMs({ database }: OpenStore): number {
  const row = database.get(
    `SELECT max(
       ifnull((SELECT max(created_ms) FROM snapshots), 0),
       ifnull((SELECT max(last_used_ms) FROM records), 0),
       ifnull((SELECT max(last_used_ms) FROM images), 0)) AS last`,
  );
  return Number(row?.["last"] ?? 0);
}

function bootOf(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
