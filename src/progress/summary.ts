import type { MadeOutput, ProgressEvent, ProgressSink, StepUsage } from "../../lib/core/progress.ts";
import { StepBook, type StepState } from "./step-book.ts";

/** The outcome of one build with all its steps, for a table at its end. Plain data. */
export interface BuildSummary {
  readonly outcome: "success" | "failure";
  readonly wallMs: number;
  /** Planned steps in the order of the Dockerfile, then other work that took part. */
  readonly steps: readonly SummarizedStep[];
  readonly outputs: readonly MadeOutput[];
  /** Messages of warnings, as they came. */
  readonly warnings: readonly string[];
}

export interface SummarizedStep {
  readonly name: string;
  /** `internal`: loading, exporting, pushing. */
  readonly kind: "step" | "internal";
  /** `not-run`: the build ended before. */
  readonly how: "cached" | "ran" | "failed" | "cancelled" | "not-run";
  /** Reason why it ran, also where another step has the same. */
  readonly why: string | undefined;
  readonly wallMs: number;
  /** Absent for what runs no command. */
  readonly usage: StepUsage | undefined;
  /** Bytes that were pulled or pushed. */
  readonly transferredBytes: number;
}

/** Makes a sink that keeps what a summary tells. */
export function summarize(nowMs: () => number): {
  readonly sink: ProgressSink;
  end(outcome: BuildSummary["outcome"]): BuildSummary;
} {
  const startedAtMs = nowMs();
  const book = new StepBook("by-plan");
  const reasons = new Map<string, string>();
  const usages = new Map<string, StepUsage>();
  const warnings: string[] = [];
  const take = (event: ProgressEvent): void => {
    book.apply(event);
    if (event.kind === "step-miss") reasons.set(event.id, event.reason);
    if (event.kind === "step-done" && event.usage !== undefined) usages.set(event.id, event.usage);
    if (event.kind === "notice" && event.level === "warning") warnings.push(event.message);
  };
  const stepOf = (step: StepState, kind: SummarizedStep["kind"]): SummarizedStep => ({
    name: step.name,
    kind,
    how: howOf(step),
    why: reasons.get(step.id),
    wallMs: (step.endedAtMs ?? nowMs()) - (step.startedAtMs ?? step.endedAtMs ?? nowMs()),
    usage: usages.get(step.id),
    transferredBytes: transferred(step),
  });
  return {
    sink: take,
    end(outcome) {
      const planned = new Set(book.planned);
      const steps = [...book.steps];
      const own = steps.filter(({ id }) => planned.has(id)).map((step) => stepOf(step, "step"));
      const rest = steps.filter(({ id, state }) => !planned.has(id) && state !== "waiting");
      return {
        outcome,
        wallMs: nowMs() - startedAtMs,
        steps: [...own, ...rest.map((step) => stepOf(step, "internal"))],
        outputs: [...book.outputs],
        warnings,
      };
    },
  };
}

function howOf({ state }: StepState): SummarizedStep["how"] {
  switch (state) {
    case "cached":
    case "failed":
    case "cancelled":
      return state;
    case "done":
      return "ran";
    case "running":
      return "cancelled";
    case "waiting":
      return "not-run";
    default:
      return state satisfies never;
  }
}

/** Adds up the layers that were pulled or pushed; unpacking the same bytes is not counted again. */
function transferred({ statuses }: StepState): number {
  let bytes = 0;
  for (const { item, current, unit } of statuses.values()) {
    if (unit === "bytes" && !item.startsWith("extracting ")) bytes += current;
  }
  return bytes;
}
