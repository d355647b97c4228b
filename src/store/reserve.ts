import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError, errnoOf } from "../core/errors.ts";

/** Enough for the lines and the log of a collection that deletes some ten thousand rows. */
const RESERVE_BYTES = 4 << 20;

/**
 * A file of zeros that a full disk is opened with: deleting rows takes space before it gives any. Given up when there is
 * no other way to write, made again by the next collection.
 */
export function makeReserve(root: string): void {
  try {
    writeFileSync(join(root, "reserve"), Buffer.alloc(RESERVE_BYTES), { flag: "wx", mode: 0o600 });
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return;
    // The disk is full. A part of a reserve would look like a whole one.
    rmSync(join(root, "reserve"), { force: true });
  }
}

export function releaseReserve(root: string): void {
  rmSync(join(root, "reserve"), { force: true });
}

/** Runs `work` again with the reserve given up when it fails with `store/full`. */
export function withReserve<T>(root: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof BuildError) || error.code !== "store/full") throw error;
    releaseReserve(root);
    return work();
  }
}
