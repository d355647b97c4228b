import { BuildError } from "../../lib/core/errors.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { formatBytes } from "../progress/step-book.ts";
import { removeLeftovers } from "../../lib/store/leftovers.ts";
import { keepWithinLimit } from "../../lib/store/limit.ts";
import type { Engine } from "./engine.ts";

/**
 * Deletes unfinished work of killed builds, and keeps the store within its limit, after a build that made something. A
 * failure here never fails the build.
 */
export async function collectAfterBuild(
  { store, environment }: Pick<Engine, "store" | "environment">,
  progress: ProgressSink,
  signal: AbortSignal,
): Promise<void> {
  const say = (level: "info" | "warning", message: string, hint: string | undefined): void =>
    progress({ kind: "notice", level, message, hint });
  try {
    await removeLeftovers(store, signal);
    const collected = await keepWithinLimit(store, { limitBytes: environment.keepStorageBytes }, signal);
    if (collected === undefined) return;
    const { freedBytes, limitBytes } = collected;
    say(
      "info",
      `The store was over its limit of ${formatBytes(limitBytes)}: ${formatBytes(freedBytes)} of what is worth least was removed`,
      "KILN_KEEP_STORAGE sets the limit",
    );
  } catch (error) {
    if (!(error instanceof BuildError) || signal.aborted) throw error;
    say("warning", `The store could not be kept within its limit: ${error.message}`, error.hint);
  }
}
