import { chmodSync, statSync } from "node:fs";

/**
 * The time that the kernel gives to what changes now. Its clock for files is coarse, up to some milliseconds behind ours, and a
 * file system may keep whole seconds only; a change time nobody can choose. Changes nothing but that.
 */
export function kernelStamp(directory: string): bigint {
  chmodSync(directory, statSync(directory).mode & 0o7777);
  return statSync(directory, { bigint: true }).ctimeNs;
}

/** A file system may keep whole seconds only. */
const MAX_TICK_NS = 2_000_000_000n;

/** Waits until what changes from now on gets a later change time than `timeNs`, and returns that time. */
export async function stampAfter(directory: string, timeNs: bigint): Promise<bigint> {
  for (;;) {
    const stampNs = kernelStamp(directory);
    // A clock that was set back does not come past it soon.
    if (stampNs > timeNs || timeNs - stampNs > MAX_TICK_NS) return stampNs;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
