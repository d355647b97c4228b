import type { ReportedStep } from "./report.ts";

/** Finds steps of a build by number (`3`, `3/5`), by stage, by whole name, or by a part of the text. */
export function stepsNamed<T extends Pick<ReportedStep, "name" | "stage" | "instruction">>(
  steps: readonly T[],
  wanted: string,
): readonly T[] {
  const exact = steps.filter(({ name, instruction }) => name === wanted || instruction === wanted);
  if (exact.length > 0) return exact;
  const text = wanted.toLowerCase();
  if (/^\d+(?:\/\d+)?$/.test(wanted)) {
    return steps.filter(({ name }) => numberOf(name, wanted.includes("/")) === wanted);
  }
  // `build 2/5`: what stands in the brackets.
  const inBrackets = steps.filter(({ name }) => name.toLowerCase().startsWith(`[${text}]`));
  if (inBrackets.length > 0) return inBrackets;
  return steps.filter((step) => step.stage?.toLowerCase() === text || step.instruction.toLowerCase().includes(text));
}

/** Returns `3` or `3/5` of `[build 3/5] RUN make`. */
function numberOf(name: string, withTotal: boolean): string | undefined {
  const [, number = "", total = ""] = /^\[(?:[^\]]* )?(\d+)\/(\d+)\]/.exec(name) ?? [];
  return withTotal ? `${number}/${total}` : number;
}
