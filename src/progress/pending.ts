import type { StepState } from "./step-book.ts";

/** Limit of text that a step holds back while others are shown, in UTF-16 code units. Its log file has the rest. */
const MAX_HELD = 64 * 1024 * 1024;

/** Unprinted output of one step. */
export interface Pending {
  readonly step: StepState;
  readonly lines: string[];
  /** The unfinished last line of each output stream. */
  readonly partial: { stdout: string; stderr: string };
  partialAtMs: number;
  announced: boolean;
  ended: boolean;
  /** Appends a line of the command. */
  add(line: string): void;
  /** Takes all lines. */
  take(): string[];
}

export function newPending(step: StepState): Pending {
  let held = 0;
  let leftOut = 0;
  const lines: string[] = [];
  return {
    step,
    lines,
    partial: { stdout: "", stderr: "" },
    partialAtMs: 0,
    announced: false,
    ended: false,
    add(line) {
      held += line.length;
      if (held <= MAX_HELD) lines.push(line);
      else leftOut += 1;
    },
    take() {
      held = 0;
      const gap =
        leftOut === 0 ? [] : [`#${step.number} [${leftOut} lines left out here; the log file of the step has them]`];
      leftOut = 0;
      // The outcome stands last.
      const taken = lines.splice(0);
      return step.endedAtMs === undefined ? [...taken, ...gap] : [...taken.slice(0, -1), ...gap, ...taken.slice(-1)];
    },
  };
}
