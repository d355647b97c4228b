import type { ProgressEvent, ProgressSink } from "../../lib/core/progress.ts";

/** The keys of a build's steps, by the ids of their events. */
export type StepKeys = ReadonlyMap<string, { readonly definitionKey: string }>;

type StepEvent = Exclude<ProgressEvent, { readonly kind: "plan" | "notice" | "output" }>;
type Plan = ProgressEvent & { readonly kind: "plan" };

/** A line of the display; its owner, the target that begins it, says how it ends. */
interface Line {
  readonly owner: string;
  hasEnded: boolean;
}

/**
 * Shows several builds as one. What they share is one line, under the name that the first one gives it: steps of one
 * key, and questions about one base image. Names begin with their target.
 */
export class SharedDisplay {
  readonly #sink: ProgressSink;
  readonly #lines = new Map<string, Line>();
  /** Steps in the plans so far, each with the target whose plan lists it. */
  readonly #planned = new Map<string, string>();

  constructor(sink: ProgressSink) {
    this.#sink = sink;
  }

  /** Makes the display of a target's build. */
  target(name: string): TargetDisplay {
    return new TargetDisplay(name, { sink: this.#sink, lines: this.#lines, planned: this.#planned });
  }
}

interface Shared {
  readonly sink: ProgressSink;
  readonly lines: Map<string, Line>;
  readonly planned: Map<string, string>;
}

class TargetDisplay {
  readonly #target: string;
  readonly #shared: Shared;
  /** Ids on the display by the build's own. */
  readonly #ids = new Map<string, string>();
  #keys: StepKeys = new Map();
  #plan: Plan | undefined;

  constructor(target: string, shared: Shared) {
    this.#target = target;
    this.#shared = shared;
  }

  /** Takes the keys of the build's steps, which tell what other builds share with it. */
  keyed(keys: StepKeys): void {
    this.#keys = keys;
    if (this.#plan === undefined) return;
    const { planned, sink } = this.#shared;
    const steps = this.#plan.steps.flatMap((step) => {
      const id = this.#idOf(step.id);
      const planner = planned.get(id) ?? this.#target;
      planned.set(id, planner);
      if (planner !== this.#target) return [];
      const inputs = step.inputs.map((input) => this.#idOf(input));
      return [{ ...step, id, name: this.#name(step.name), inputs }];
    });
    sink({ ...this.#plan, id: `${this.#target}/${this.#plan.id}`, steps });
  }

  show(event: ProgressEvent): void {
    const { sink } = this.#shared;
    switch (event.kind) {
      case "plan":
        // It is shown once the keys of its steps are known.
        this.#plan = event;
        return;
      case "notice":
        sink({ ...event, message: `${this.#target}: ${event.message}` });
        return;
      case "output":
        sink({ ...event, id: `${this.#target}/${event.id}` });
        return;
      default:
        this.#showStep("name" in event ? { ...event, name: this.#name(event.name) } : event);
    }
  }

  #showStep(event: StepEvent): void {
    const { lines, sink } = this.#shared;
    const id = this.#idOf(event.id);
    const line = lines.get(id);
    if (line === undefined || line.owner === this.#target) {
      lines.set(id, { owner: this.#target, hasEnded: ENDS.has(event.kind) });
      sink({ ...event, id });
    } else if (line.hasEnded && BEGINS.has(event.kind) && this.#keys.has(event.id)) {
      // It runs once more: this target skips the cache, and the other one did not.
      this.#ids.set(event.id, `${this.#target}/${event.id}`);
      this.#showStep(event);
    } else if (event.kind === "log" || event.kind === "status" || event.kind === "step-failed") sink({ ...event, id });
  }

  #idOf(id: string): string {
    const known = this.#ids.get(id);
    if (known !== undefined) return known;
    const shared = this.#keys.get(id)?.definitionKey ?? (id.startsWith("metadata:") ? id : undefined);
    const made = shared ?? `${this.#target}/${id}`;
    this.#ids.set(id, made);
    return made;
  }

  #name(name: string): string {
    return name.startsWith("[") ? `[${this.#target} ${name.slice(1)}` : `[${this.#target}] ${name}`;
  }
}

const BEGINS: ReadonlySet<StepEvent["kind"]> = new Set(["step-started", "step-miss"]);
const ENDS: ReadonlySet<StepEvent["kind"]> = new Set(["step-done", "step-cached", "step-failed", "step-cancelled"]);
