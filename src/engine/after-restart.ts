import { originOf } from "../../lib/store/snapshot-id.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import type { FsckOptions } from "../../lib/store/fsck.ts";
import { repairAfterRestart } from "../../lib/store/restart.ts";
import type { Engine } from "./engine.ts";

/** Checks after a restart of the machine that the last build's files survived, and reports damage. */
export async function checkAfterRestart(
  engine: Pick<Engine, "environment" | "store" | "packPool" | "snapshotter">,
  progress: ProgressSink,
  signal: AbortSignal,
): Promise<void> {
  const { environment, store } = engine;
  const diffIdOf = diffIdTeller(engine);
  const damaged = await repairAfterRestart(store, { bootId: environment.bootId(), diffIdOf }, signal);
  if (damaged === 0) return;
  const message = `The machine was restarted since the last build, and ${damaged} of the last things it wrote may not be whole: they are made again`;
  progress({ kind: "notice", level: "warning", message, hint: '"kiln fsck" checks all others too' });
}

/** Makes a function that digests layers by packing their files again, to compare with the recorded digests. */
export function diffIdTeller({
  packPool,
  snapshotter,
}: Pick<Engine, "packPool" | "snapshotter">): NonNullable<FsckOptions["diffIdOf"]> {
  return async (snapshot, directory, signal) =>
    originOf(snapshot) === "step"
      ? (await packPool.measure({ directory, marks: snapshotter.marks }, signal)).diffId
      : undefined;
}
