import type { ProgressOutput } from "./display.ts";
import type { Pending } from "./pending.ts";
import { isFinished, type StepState } from "./step-book.ts";

/** The printed log: lines of one step after another, each block under the name of its step. */
export class Blocks {
  readonly #output: ProgressOutput;
  #shown: StepState | undefined;
  #isFolded = false;
  #anything = false;

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  /** Prints what a step has to say, and its name where another one was shown before. */
  show(entry: Pending): void {
    const { step } = entry;
    // A section is opened when there is something to put into it.
    if (this.#output.folds !== undefined && !entry.announced && entry.lines.length === 0 && !entry.ended) return;
    const head: string[] = [];
    if (this.#shown !== step || !entry.announced) {
      if (this.#shown !== undefined && this.#shown !== step && !isFinished(this.#shown)) {
        head.push(`#${this.#shown.number} ...`, ...this.#closing(this.#shown));
      }
      if (this.#anything) head.push("");
      head.push(this.#opening(entry));
      if (!entry.announced && step.missReason !== undefined) head.push(`#${step.number} why: ${step.missReason}`);
      if (!entry.announced && step.machine !== undefined) head.push(`#${step.number} runs at ${step.machine}`);
      entry.announced = true;
    }
    const lines = entry.take();
    // What came of a step is seen where its section is folded.
    const outcome = entry.ended && this.#isFolded ? lines.splice(-1) : [];
    this.#shown = entry.ended ? undefined : step;
    const end = entry.ended ? [...this.#closing(step), ...outcome] : [];
    this.#print([...head, ...lines, ...end]);
    this.#anything = true;
  }

  /** Prints lines of no step. */
  write(lines: readonly string[]): void {
    this.#print(lines);
  }

  /** Ends the log of the steps. */
  end(): void {
    if (this.#shown !== undefined) this.#print(this.#closing(this.#shown));
    if (this.#anything) this.#output.write("\n");
  }

  #opening({ step, lines, ended }: Pending): string {
    const title = `#${step.number} ${step.name}`;
    const { folds } = this.#output;
    // There is nothing to fold in a step that was cached.
    this.#isFolded = folds !== undefined && !(ended && lines.length <= 1);
    return folds === undefined || !this.#isFolded
      ? title
      : folds.open({ id: step.number, title, atMs: this.#output.nowMs() });
  }

  #closing(step: StepState): string[] {
    if (!this.#isFolded) return [];
    this.#isFolded = false;
    const outcome = step.state === "failed" ? "failed" : "well";
    const mark = this.#output.folds?.close({ id: step.number, atMs: this.#output.nowMs(), outcome }) ?? "";
    return mark === "" ? [] : [mark];
  }

  #print(lines: readonly string[]): void {
    if (lines.length > 0) this.#output.write(lines.map((line) => `${line}\n`).join(""));
  }
}
