import { printable, printableLine } from "../../lib/core/printable.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";

/** Counted work inside a step, as last reported. */
export interface StepStatus {
  readonly item: string;
  readonly current: number;
  readonly total: number | undefined;
  readonly unit: "bytes" | "files";
  readonly done: boolean;
}

/** The display's state of one step. `number` counts from 1 in order of first appearance. */
export interface StepState {
  readonly id: string;
  readonly number: number;
  name: string;
  state: "waiting" | "running" | "cached" | "done" | "failed" | "cancelled";
  startedAtMs: number | undefined;
  endedAtMs: number | undefined;
  /** The reason why it runs, in one line; absent when another step of the build has shown the same reason for all. */
  missReason: string | undefined;
  failure: string | undefined;
  readonly statuses: Map<string, StepStatus>;
}

/**
 * A fold of events into the state of every step, with texts safe to show. Each display keeps one and adds its own
 * drawing state.
 */
export class StepBook {
  readonly #steps = new Map<string, StepState>();
  /** Reasons that concern the whole build, by the step that showed them. */
  readonly #said = new Map<string, string>();

  /** Steps in order of first appearance. */
  get steps(): IterableIterator<StepState> {
    return this.#steps.values();
  }

  get count(): number {
    return this.#steps.size;
  }

  get finishedCount(): number {
    let finished = 0;
    for (const step of this.#steps.values()) if (isFinished(step)) finished += 1;
    return finished;
  }

  /** Applies an event; returns its step, `undefined` for notices. */
  apply(event: ProgressEvent): StepState | undefined {
    if (event.kind === "notice") return undefined;
    const step = this.#step(event.id);
    switch (event.kind) {
      case "step-started":
        step.name = printableLine(event.name);
        step.state = "running";
        step.startedAtMs ??= event.atMs;
        break;
      case "step-cached":
        step.name = printableLine(event.name);
        step.state = "cached";
        step.startedAtMs ??= event.atMs;
        step.endedAtMs = event.atMs;
        break;
      case "step-done":
        // A started step that turned out to be cached stays cached.
        if (step.state !== "cached") step.state = "done";
        step.endedAtMs = event.atMs;
        break;
      case "step-failed":
        step.state = "failed";
        step.failure = printable(event.message);
        step.endedAtMs = event.atMs;
        break;
      case "step-cancelled":
        step.state = "cancelled";
        step.endedAtMs = event.atMs;
        break;
      case "step-miss":
        step.name = printableLine(event.name);
        step.missReason = this.#newReason(event);
        break;
      case "status":
        step.statuses.set(event.item, { ...event, item: printableLine(event.item) });
        break;
      case "log":
        break;
      default:
        event satisfies never;
    }
    return step;
  }

  #newReason({ id, reason, concerns }: ProgressEvent & { readonly kind: "step-miss" }): string | undefined {
    if (concerns === "build") {
      const sayer = this.#said.get(reason) ?? id;
      if (sayer !== id) return undefined;
      this.#said.set(reason, id);
    }
    return printableLine(reason);
  }

  #step(id: string): StepState {
    let step = this.#steps.get(id);
    if (step === undefined) {
      step = {
        id,
        number: this.#steps.size + 1,
        name: printableLine(id),
        state: "waiting",
        startedAtMs: undefined,
        endedAtMs: undefined,
        missReason: undefined,
        failure: undefined,
        statuses: new Map(),
      };
      this.#steps.set(id, step);
    }
    return step;
  }
}

export function isFinished(step: StepState): boolean {
  return step.state !== "waiting" && step.state !== "running";
}

/** Formats a duration like BuildKit, with one decimal: `1.2s`, `75.0s`. */
export function formatSeconds(milliseconds: number): string {
  return `${(Math.max(0, milliseconds) / 1000).toFixed(1)}s`;
}

/** Formats a size like docker, in powers of 1000 with three significant digits: `512B`, `1.05kB`, `3.2MB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${Number(unit === 0 ? value : value.toPrecision(3))}${units[unit] ?? ""}`;
}

/** Formats `transferring context: 1.05MB / 3.2MB`. */
export function formatStatus(status: StepStatus): string {
  const amount = (value: number): string => (status.unit === "bytes" ? formatBytes(value) : `${value} files`);
  const total = status.total === undefined || status.done ? "" : ` / ${amount(status.total)}`;
  return status.current === 0 && status.total === undefined
    ? status.item
    : `${status.item} ${amount(status.current)}${total}`;
}
