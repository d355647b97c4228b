import { mapLimit } from "../../lib/core/limits.ts";
import type { Platform } from "../../lib/core/platform.ts";
import { SourceText } from "../../lib/core/span.ts";
import type { StageInstruction } from "../instructions/instruction.ts";
import type { Linter } from "../lint/linter.ts";
import { parseOnbuildTrigger } from "../parse.ts";
import { type Start, resolveStart } from "./base-image.ts";
import type { ConvertOptions } from "./options.ts";
import type { Plan, PlannedStage } from "./plan.ts";
import type { Resolver } from "./resolver.ts";
import { forTrigger } from "./trigger-error.ts";

/** Limit on concurrent lookups of base images and named contexts. */
const MAX_LOOKUPS = 8;

/** Lists the stages to convert. */
export function neededStages(plan: Plan, wanted: PlannedStage, options: ConvertOptions): ReadonlySet<PlannedStage> {
  return options.stages === "all" ? new Set(plan.stages) : plan.reachable(wanted);
}

/** Triggers of base images, parsed, in the order they run. */
export type Triggers = ReadonlyMap<PlannedStage, readonly StageInstruction[]>;

/** Resolves all bases concurrently, then those that their triggers need. */
export async function resolveStarts(
  plan: Plan,
  wanted: PlannedStage,
  deps: {
    readonly options: ConvertOptions;
    readonly resolver: Resolver;
    readonly linter: Linter;
    readonly target: Platform;
  },
  signal: AbortSignal,
): Promise<{ readonly starts: ReadonlyMap<PlannedStage, Start>; readonly triggers: Triggers }> {
  const starts = new Map<PlannedStage, Start>();
  const triggers = new Map<PlannedStage, readonly StageInstruction[]>();
  const startOptions = {
    target: deps.target,
    runnable: deps.options.targetPlatform === undefined ? deps.options.runnablePlatforms : undefined,
    linter: deps.linter,
    stageNames: plan.stages.flatMap((planned) => planned.stage?.name ?? []),
  };
  for (;;) {
    const needed = [...neededStages(plan, wanted, deps.options)];
    const missing = needed.filter((planned) => planned.base === undefined && !starts.has(planned));
    const found = await mapLimit(missing, MAX_LOOKUPS, signal, (planned, inner) =>
      resolveStart(planned, deps.resolver, startOptions, inner),
    );
    for (const [index, planned] of missing.entries()) {
      const start = found[index];
      if (start !== undefined) starts.set(planned, start);
    }
    const isGrown = needed
      .filter((planned) => planned.stage !== undefined && !triggers.has(planned))
      .map((planned) => {
        const texts = triggersOf(planned, starts.get(planned));
        const instructions = texts.map((text) => forTrigger(planned, () => readTrigger(text, planned)));
        triggers.set(planned, instructions);
        const connect = (trigger: StageInstruction): boolean =>
          forTrigger(planned, () => plan.connect(planned, trigger));
        return instructions.map(connect).some(Boolean);
      });
    if (!isGrown.some(Boolean)) return { starts, triggers };
  }
}

/**
 * Finds the triggers of the image below, or of the stage below. A stage uses up the triggers of its own base, so they
 * are not inherited further.
 */
function triggersOf(planned: PlannedStage, start: Start | undefined): readonly string[] {
  if (planned.base === undefined) return start?.extent === "start" ? (start.image.config.OnBuild ?? []) : [];
  const instructions = planned.base.stage?.instructions ?? [];
  return instructions.flatMap((instruction) => (instruction.kind === "onbuild" ? [instruction.trigger] : []));
}

/**
 * Parses a trigger. Spans of its words point into the trigger's own text, for errors; the span of the whole is the FROM
 * that brought it.
 */
function readTrigger(text: string, planned: PlannedStage): StageInstruction {
  const instruction = parseOnbuildTrigger(new SourceText(`ONBUILD of ${planned.baseText}`, text));
  return { ...instruction, span: planned.stage?.from.span ?? planned.span };
}
