import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../core/errors.ts";
import { type FsckOptions, fsck } from "./fsck.ts";
import { guarded } from "./failure.ts";
import type { OpenStore } from "./open-store.ts";

/*
 * A killed process leaves whole files behind; a machine that loses its power may not: rows and names can reach the disk
 * before the bytes they speak of, and flushing those would cost a step more than the step. So each store remembers the
 * boot it was last used in, in its file `boot`. In another one, what was written shortly before the last use is read
 * again and compared with its digests, once, before anything relies on it. The rest had been on disk for long: the
 * kernel writes what is older than half a minute (vm.dirty_expire_centisecs).
 */

/** Four times what the kernel promises. */
const WRITTEN_BACK_MS = 120_000;

/**
 * Removes what a power failure damaged, so that it is made or fetched again. Two small reads when there was no restart.
 * @param bootId of the running kernel; `undefined` where it cannot be known, and nothing is checked.
 * @returns how many damaged files and layers there were.
 */
export async function repairAfterRestart(
  store: OpenStore,
  { bootId, diffIdOf }: { readonly bootId: string | undefined } & Required<Pick<FsckOptions, "diffIdOf">>,
  signal: AbortSignal,
): Promise<number> {
  const path = join(store.root, "boot");
  if (bootId === undefined || bootOf(path) === bootId) return 0;
  // Whoever comes second waits here, and finds the work done.
  using _lease = await store.leases.acquire("restart", signal);
  if (bootOf(path) === bootId) return 0;
  const lastUse = lastUseMs(store);
  const suspectSince = lastUse - WRITTEN_BACK_MS;
  const { problems } =
    lastUse === 0 ? { problems: [] } : await fsck(store, { repair: true, suspectSince, diffIdOf }, signal);
  guarded(`write "${path}"`, () => {
    // Renamed, so that nobody reads half of it.
    writeFileSync(`${path}.new`, bootId);
    renameSync(`${path}.new`, path);
  });
  return problems.filter(({ kind }) => kind.endsWith("-damaged") || kind.endsWith("-missing")).length;
}

/** Milliseconds since the epoch; 0 for a store that holds nothing. */
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
