import { BuildError } from "../../lib/core/errors.ts";
import type { PlannedStage } from "./plan.ts";

/**
 * Runs `work` for a trigger. An error in the trigger's own text, which is in no file of the user's, is told at the FROM that
 * brought it, with the text below.
 */
export function forTrigger<T>(planned: PlannedStage, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof BuildError) || error.span === undefined || error.span.source === planned.span.source)
      throw error;
    const { source } = error.span;
    throw new BuildError(error.code, error.message, {
      span: planned.span,
      hint: error.hint,
      cause: error,
      detail: `${source.name}: ${source.text}`,
    });
  }
}
