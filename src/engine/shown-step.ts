import { messageOf } from "../../lib/core/errors.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { systemFailure } from "../../lib/core/system-failure.ts";

/** Dependencies for showing internal work: the display and a clock. */
export interface ShownWork {
  readonly progress: ProgressSink;
  readonly clock: { nowMs(): number };
  /** Id of the line where its name may not be the only one; the name itself unless given. */
  readonly id?: string;
}

/**
 * Shows internal work as a line of the display.
 * @throws the errors of `work`, with system errors in words
 */
export async function shownStep<T>(
  name: string,
  { progress, clock, id = name }: ShownWork,
  work: () => Promise<T>,
): Promise<T> {
  progress({ kind: "step-started", id, name, atMs: clock.nowMs() });
  try {
    const result = await work();
    progress({ kind: "step-done", id, atMs: clock.nowMs() });
    return result;
  } catch (error) {
    progress({ kind: "step-failed", id, message: messageOf(error), atMs: clock.nowMs() });
    throw systemFailure(`carry out "${name.replace(/^\[internal\] /, "")}"`, error);
  }
}
