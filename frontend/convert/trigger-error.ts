import { BuildError } from "../../lib/core/errors.ts";
import type { PlannedStage } from "./plan.ts";

/**
 * Runs `work` for a trigger. The trigger's text is not in the user's file, so an error in it is reported at the FROM
 * that brought it, with the trigger's text below.
 */
export function forTrigger<T>(planned: PlannedStage, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof BuildError) || error.span === undefined || error.span.source === planned.span.source)
      throw error;
    const { source } = error.span;
    const detail = [`${source.name}: ${source.text}`, error.detail ?? ""].join("\n").trimEnd();
    throw error.with({ span: planned.span, detail });
  }
}
