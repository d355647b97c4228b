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

/** Base images and named contexts asked for at the same time. */
const MAX_LOOKUPS = 8;

/** The stages that are looked at closely. */
export function neededStages(plan: Plan, wanted: PlannedStage, options: ConvertOptions): ReadonlySet<PlannedStage> {
  return options.stages === "all" ? new Set(plan.stages) : plan.reachable(wanted);
}

/** Triggers of base images, parsed, in the order they run. */
export type Triggers = ReadonlyMap<PlannedStage, readonly StageInstruction[]>;

/** Asks for all bases at once; again for what their triggers turn out to need. */
export async function resolveStarts(
  plan: Plan,
  wanted: PlannedStage,
  on: {
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
    target: on.target,
    runnable: on.options.targetPlatform === undefined ? on.options.runnablePlatforms : undefined,
    linter: on.linter,
    stageNames: plan.stages.flatMap((planned) => planned.stage?.name ?? []),
  };
  for (;;) {
    const needed = [...neededStages(plan, wanted, on.options)];
    const missing = needed.filter((planned) => planned.base === undefined && !starts.has(planned));
    const found = await mapLimit(missing, MAX_LOOKUPS, signal, (planned, inner) =>
      resolveStart(planned, on.resolver, startOptions, inner),
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

/** Of the image below, or of the stage below: the triggers a stage inherits from its own base are used up there. */
function triggersOf(planned: PlannedStage, start: Start | undefined): readonly string[] {
  if (planned.base === undefined) return start?.extent === "start" ? (start.image.config.OnBuild ?? []) : [];
  const instructions = planned.base.stage?.instructions ?? [];
  return instructions.flatMap((instruction) => (instruction.kind === "onbuild" ? [instruction.trigger] : []));
}

/** Its words point into the trigger's own text, for errors; as a whole it stands for the FROM that brought it. */
function readTrigger(text: string, planned: PlannedStage): StageInstruction {
  const instruction = parseOnbuildTrigger(new SourceText(`ONBUILD of ${planned.baseText}`, text));
  return { ...instruction, span: planned.stage?.from.span ?? planned.span };
}
