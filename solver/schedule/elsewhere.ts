import { debug } from "../../lib/core/debug.ts";
import { Semaphore } from "../../lib/core/limits.ts";
import type { CacheRecord, SnapshotRow } from "../../lib/store/model.ts";
import type { Store } from "../../lib/store/store.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import type { SolveOptions, SolverDeps } from "../deps.ts";
import type { RemoteSteps, Stack } from "../ports.ts";

/** A step that is about to run, as far as its place depends on it. */
export interface PlacedStep {
  readonly keyed: KeyedVertex;
  readonly earlier: CacheRecord | undefined;
  /** Layers of all inputs. */
  readonly layers: Stack;
}

export interface ElsewhereDeps {
  readonly steps: RemoteSteps;
  readonly store: Pick<Store, "snapshots" | "facts">;
  readonly progress: SolverDeps["progress"];
  readonly exec: SolveOptions["exec"];
  /** Slots of this machine. */
  readonly here: Semaphore;
}

/** The time that a cluster adds to a step, until it was seen. */
const USUAL_OVERHEAD_MS = 400;
/** Commands that took longer are what a cluster is for: here they would keep each other from running. */
const SHORT_MS = 1000;
/** The weight of the latest step in the average. */
const LATEST = 0.3;

/**
 * Other machines that run steps, and the choice between them and this one:
 *
 *     here      bytes to fetch / bandwidth + bytes of its result, which may have to be sent / bandwidth
 *     elsewhere bytes to send / bandwidth + what the cluster added to steps of late, queues included
 *
 * A step without a record travels, and so do those that took long and those that would wait for a slot here.
 */
export class Elsewhere {
  readonly steps: RemoteSteps;
  readonly slots: Semaphore;
  readonly #deps: ElsewhereDeps;
  readonly #told = new Set<string>();
  #overheadMs: number;

  constructor(count: number, deps: ElsewhereDeps) {
    this.#deps = deps;
    this.steps = deps.steps;
    this.slots = new Semaphore(count);
    const kept = Number(new TextDecoder().decode(deps.store.facts.get(FACT, deps.steps.location)?.value));
    this.#overheadMs = Number.isFinite(kept) && kept > 0 ? kept : USUAL_OVERHEAD_MS;
  }

  /**
   * Tells whether a step runs there. Why one must stay is said once for each reason.
   * @throws {BuildError} `remote/unsupported`
   */
  takes(step: PlacedStep): boolean {
    const { op } = step.keyed.vertex;
    if (op.kind !== "exec") return false;
    const reason = this.steps.staysFor(op, this.#deps.exec);
    if (reason === undefined) return !this.#isFasterHere(step);
    if (!this.#told.has(reason)) {
      this.#told.add(reason);
      const message = `${step.keyed.meta.name} runs here: ${reason}`;
      this.#deps.progress({ kind: "notice", level: "info", message, hint: undefined });
    }
    return false;
  }

  /** Learns from a step that ran: what came on top of the command's own time. */
  learn(elapsedMs: number, wallMs: number): void {
    const addedMs = Math.max(1, elapsedMs - wallMs);
    this.#overheadMs += (addedMs - this.#overheadMs) * LATEST;
    const value = new TextEncoder().encode(this.#overheadMs.toFixed(1));
    this.#deps.store.facts.set(FACT, this.steps.location, { value });
  }

  #isFasterHere({ keyed, earlier, layers }: PlacedStep): boolean {
    const { here, store, steps } = this.#deps;
    if (earlier === undefined || earlier.wallMs > SHORT_MS || !here.isFree) return false;
    const rows = store.snapshots.getMany([...new Set(layers)]);
    const own = earlier.layers.slice(-1).flatMap((id) => store.snapshots.get(id) ?? []);
    const { bytesPerMs } = steps;
    const hereMs = (bytesOf(rows.filter(({ state }) => state !== "present")) + bytesOf(own)) / bytesPerMs;
    const thereMs = this.#overheadMs + bytesOf(rows.filter(({ id }) => !steps.has(id))) / bytesPerMs;
    debug("schedule", () => `${keyed.meta.name}: ${hereMs.toFixed(0)} ms more here, ${thereMs.toFixed(0)} ms there`);
    return hereMs < thereMs;
  }
}

const FACT = "remote-overhead";
/** Adds up the known sizes of layers. One that was never measured counts as nothing. */
function bytesOf(rows: readonly SnapshotRow[]): number {
  return rows.reduce((sum, { tarSizeBytes = 0 }) => sum + tarSizeBytes, 0);
}
