import type { ProgressEvent } from "../../lib/core/progress.ts";
import type { ProgressOutput } from "./display.ts";
import type { Pending } from "./pending.ts";
import { isFinished, type StepBook } from "./step-book.ts";

/** Another step may be shown once the current one has been silent for this long. */
const PATIENCE_MS = 500;
/** The same, once it has this many waiting lines. */
const MAX_WAITING_LINES = 5_000;

/** The order in which steps of a log get their say. */
interface Turns {
  planned(plan: ProgressEvent & { readonly kind: "plan" }): void;
  appeared(entry: Pending): void;
  /** Notes that a step was printed. */
  shown(entry: Pending): void;
  /** Prints the lines of those whose turn it is. */
  flush(pending: ReadonlyMap<number, Pending>, show: (entry: Pending) => void): void;
}

/** Steps speak as they come, and one that speaks is let finish. */
export class FreeTurns implements Turns {
  readonly #output: ProgressOutput;
  #speaker: Pending | undefined;
  #shownAtMs = 0;

  constructor(output: ProgressOutput) {
    this.#output = output;
  }

  planned(): void {}

  appeared(): void {}

  shown(entry: Pending): void {
    this.#speaker = entry.ended ? undefined : entry;
    this.#shownAtMs = this.#output.nowMs();
  }

  flush(pending: ReadonlyMap<number, Pending>, show: (entry: Pending) => void): void {
    const speaker = this.#speaker;
    if (speaker !== undefined && (speaker.lines.length > 0 || speaker.ended)) show(speaker);
    // Only unfinished and unprinted steps are in the map, so a build of ten thousand cached steps stays linear.
    for (const entry of pending.values()) {
      if (entry === this.#speaker) continue;
      const wants = entry.lines.length > 0 || !entry.announced || entry.ended;
      if (!wants || entry.step.state === "waiting") continue;
      const isLate = this.#output.nowMs() - this.#shownAtMs > PATIENCE_MS || entry.lines.length > MAX_WAITING_LINES;
      if (this.#speaker === undefined || entry.ended || isLate) show(entry);
    }
  }
}

/** Steps speak one after another: those of a plan in its order, others as they come. */
export class StepQueue implements Turns {
  readonly #book: StepBook;
  readonly #order: string[] = [];
  readonly #known = new Set<string>();
  /** Ids of the present plans, by plan. */
  readonly #plans = new Map<string, ReadonlySet<string>>();
  #next = 0;

  constructor(book: StepBook) {
    this.#book = book;
  }

  planned({ id, steps }: ProgressEvent & { readonly kind: "plan" }): void {
    this.#plans.set(id, new Set(steps.map((step) => step.id)));
    for (const step of steps) this.#add(step.id);
  }

  appeared({ step }: Pending): void {
    this.#add(step.id);
  }

  shown(): void {}

  flush(pending: ReadonlyMap<number, Pending>, show: (entry: Pending) => void): void {
    for (; this.#next < this.#order.length; this.#next += 1) {
      const id = this.#order[this.#next] ?? "";
      const step = this.#book.get(id);
      if (step === undefined) return;
      const entry = pending.get(step.number);
      if (entry === undefined || step.state === "waiting") {
        // It was printed whole, or an earlier plan had it.
        if (isFinished(step) || !this.#isPlanned(id)) continue;
        return;
      }
      show(entry);
      if (!entry.ended) return;
    }
  }

  #add(id: string): void {
    if (this.#known.has(id)) return;
    this.#known.add(id);
    this.#order.push(id);
  }

  #isPlanned(id: string): boolean {
    return [...this.#plans.values()].some((ids) => ids.has(id));
  }
}
