import { printable, printableLine } from "../../lib/core/printable.ts";
import type { MadeOutput, ProgressEvent } from "../../lib/core/progress.ts";

/** Counted work inside a step, as last reported. */
export interface StepStatus {
  readonly item: string;
  readonly current: number;
  readonly total: number | undefined;
  readonly unit: "bytes" | "files";
  readonly done: boolean;
  /** Units per second since the first report; `undefined` before there are two. */
  readonly rate?: number | undefined;
  readonly first?: { readonly current: number; readonly atMs: number };
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
  /** The cluster or machine that runs the step; `undefined` for this one. */
  machine: string | undefined;
  failure: string | undefined;
  readonly statuses: Map<string, StepStatus>;
}

/**
 * A fold of events into the state of every step, with texts safe to show. Each display keeps one and adds its own
 * drawing state.
 */
export class StepBook {
  readonly #steps = new Map<string, StepState>();
  readonly #plans = new Map<string, ProgressEvent & { readonly kind: "plan" }>();
  readonly #outputs = new Map<string, MadeOutput>();
  readonly #numbers: "by-appearance" | "by-plan";
  #warnings = 0;

  /** @param numbers `by-plan` numbers steps in the order of the Dockerfile */
  constructor(numbers: "by-appearance" | "by-plan" = "by-appearance") {
    this.#numbers = numbers;
  }
  /** Reasons that concern the whole build, by the step that showed them. */
  readonly #said = new Map<string, string>();

  /** Returns a step that has appeared. */
  get(id: string): StepState | undefined {
    return this.#steps.get(id);
  }

  /** Steps in order of first appearance. */
  get steps(): IterableIterator<StepState> {
    return this.#steps.values();
  }

  get count(): number {
    return this.#steps.size;
  }

  /** Number of warnings among the notices. */
  get warnings(): number {
    return this.#warnings;
  }

  get outputs(): IterableIterator<MadeOutput> {
    return this.#outputs.values();
  }

  /** Ids of the planned steps, in the order of their Dockerfiles. */
  get planned(): readonly string[] {
    return [...this.#plans.values()].flatMap(({ steps }) => steps.map(({ id }) => id));
  }

  /** Counts planned steps and results; `undefined` before a plan is known. */
  get counts(): { readonly finished: number; readonly total: number } | undefined {
    if (this.#plans.size === 0) return undefined;
    let finished = this.#outputs.size;
    let total = 0;
    for (const { steps, outputs } of this.#plans.values()) {
      total += steps.length + outputs;
      for (const { id } of steps) {
        const step = this.#steps.get(id);
        if (step !== undefined && isFinished(step)) finished += 1;
      }
    }
    return { finished, total };
  }

  /** Applies an event; returns its step, `undefined` for notices, plans, findings and outputs. */
  apply(event: ProgressEvent): StepState | undefined {
    switch (event.kind) {
      case "notice":
        if (event.level === "warning") this.#warnings += 1;
        return undefined;
      case "plan":
        this.#plans.set(event.id, event);
        if (this.#numbers === "by-plan")
          for (const { id, name } of event.steps) this.#step(id).name = printableLine(name);
        return undefined;
      case "finding":
        return undefined;
      case "output":
        this.#outputs.set(event.id, event.output);
        return undefined;
      default:
        return this.#applyToStep(event);
    }
  }

  #applyToStep(event: Exclude<ProgressEvent, { readonly kind: "notice" | "plan" | "finding" | "output" }>): StepState {
    const step = this.#step(event.id);
    switch (event.kind) {
      case "step-started":
        step.name = printableLine(event.name);
        step.machine = event.machine === undefined ? undefined : printableLine(event.machine);
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
        step.statuses.set(event.item, withRate(step.statuses.get(event.item), event));
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
        machine: undefined,
        failure: undefined,
        statuses: new Map(),
      };
      this.#steps.set(id, step);
    }
    return step;
  }
}

function withRate(before: StepStatus | undefined, event: ProgressEvent & { readonly kind: "status" }): StepStatus {
  const { current, total, unit, done, atMs } = event;
  const first = before?.first ?? { current, atMs };
  const elapsedMs = atMs - first.atMs;
  const rate = elapsedMs > 0 && current > first.current ? ((current - first.current) * 1000) / elapsedMs : undefined;
  return { item: printableLine(event.item), current, total, unit, done, rate, first };
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

/** Formats `transferring context: 1.05MB / 3.2MB`, and while it runs ` 2.1MB/s`. */
export function formatStatus(status: StepStatus): string {
  const amount = (value: number): string => (status.unit === "bytes" ? formatBytes(value) : `${value} files`);
  const total = status.total === undefined || status.done ? "" : ` / ${amount(status.total)}`;
  return status.current === 0 && status.total === undefined
    ? status.item
    : `${status.item} ${amount(status.current)}${total}${rateText(status)}`;
}

function rateText({ rate, unit, done }: StepStatus): string {
  return rate === undefined || unit !== "bytes" || done ? "" : ` ${formatBytes(Math.round(rate))}/s`;
}
