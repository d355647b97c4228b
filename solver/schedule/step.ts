import { toldIfDiskFull } from "../ops/exec/disk-full.ts";
import { debug, timed } from "../../lib/core/debug.ts";
import type { Digest } from "../../lib/core/digest.ts";
import { digestOf, hexOf } from "../../lib/core/digest.ts";
import { messageOf } from "../../lib/core/errors.ts";
import { systemFailure } from "../../lib/core/system-failure.ts";
import type { Semaphore } from "../../lib/core/limits.ts";
import type { CacheRecord, KeyPart, SnapshotId } from "../../lib/store/model.ts";
import type { Lease, NewSnapshot } from "../../lib/store/store.ts";
import type { MissReason } from "../cache/explain.ts";
import { missText } from "../cache/reason-text.ts";
import { contentKey, strongerParts } from "../cache/key.ts";
import { type KeyedVertex, withSpan } from "../cache/keyed-graph.ts";
import { noteSameTrust } from "../cache/remote/trust.ts";
import { copyPart } from "../cache/uses.ts";
import type { SolveOptions, SolverDeps, VertexOutcome } from "../deps.ts";
import type { ExecOp } from "../graph/op.ts";
import type { PreparedStep, Stack } from "../ports.ts";
import type { EarlierRecords, EarlierResults } from "./earlier-results.ts";
import { earlierCopy, earlierTar } from "./earlier-files.ts";
import { missReason, refuseUnexpected } from "./miss-reason.ts";
import { executeStep, type Executed } from "./execute.ts";
import type { Elsewhere } from "./elsewhere.ts";
import { executeElsewhere, prepareElsewhere, takenElsewhere } from "./execute-elsewhere.ts";
import { isMovedSource } from "../../lib/tree/moved-source.ts";
import { distinct } from "./layers.ts";
import { StepInputs } from "./step-inputs.ts";
import { showsOtherTimes } from "./inherited-times.ts";
import type { Materializer } from "./materializer.ts";
import type { PlannedMiss } from "./plan.ts";
import { writeCopy } from "./write-copy.ts";

/** State shared by all steps of one solve. */
export interface StepDeps {
  readonly solver: SolverDeps;
  readonly options: SolveOptions;
  readonly earlierResults: EarlierResults;
  readonly materializer: Materializer;
  /** Limits concurrent steps of this machine. */
  readonly slots: Semaphore;
  /** Limits concurrent steps of other machines, where there are any. */
  readonly elsewhere?: Elsewhere | undefined;
  readonly keyed: ReadonlyMap<Digest, KeyedVertex>;
}

export interface SettledStep {
  readonly layers: Stack;
  readonly outcome: VertexOutcome;
  /** The step as recorded; its key is not the planned one where files changed before they were copied. */
  readonly keyed: KeyedVertex;
}

/**
 * Settles a step without a record for its key: takes an equal earlier result, or another process's, or runs it and
 * records its result.
 * @param inputs layers of the vertex's inputs, `undefined` for local directories
 */
export async function settleStep(
  work: PlannedMiss,
  inputs: readonly (Stack | undefined)[],
  deps: StepDeps,
  signal: AbortSignal,
): Promise<SettledStep> {
  const { definitionKey, meta, parts } = work.keyed;
  const { store } = deps.solver;
  await using step = new Step(work, inputs, deps);
  if (meta.cache === "skip") {
    using _turn = await step.turn(signal);
    const shared = step.ranInSchedule();
    if (shared !== undefined) return step.taken(shared);
    using _slot = await step.slot(work.priority, signal);
    return await step.run(work.priority, signal);
  }
  const equal = await deps.earlierResults.equalRun(parts, step.inputs, step.earlier, signal);
  if (equal?.definitionKey === definitionKey) return step.composed(equal, "cached", undefined);
  const found = equal ?? (await step.foundElsewhere(signal));
  if (found !== undefined && !(await step.wouldPutBack(found, signal)))
    return step.composed(found, "cutoff", await step.explain(parts, signal));
  // Equal work runs once over all processes: the second one waits here, and then finds the first one's record.
  using _lease = await step.lease(signal);
  const made = work.afterSkipped ? step.ranInSchedule() : store.records.findByDefinitionKey(definitionKey);
  if (made !== undefined) return step.taken(made);
  using _slot = await step.slot(work.priority, signal);
  return await step.run(work.priority, signal);
}

/** A command that another machine is to run. */
interface Travelling {
  readonly op: ExecOp;
  readonly elsewhere: Elsewhere;
}

class Step implements AsyncDisposable {
  readonly inputs: StepInputs;
  readonly #earlier: readonly CacheRecord[];
  readonly #isRead: boolean;
  readonly #deps: StepDeps;
  /** The command, if another machine is to run it. */
  #travelling: Travelling | undefined;

  constructor(work: PlannedMiss, stacks: readonly (Stack | undefined)[], deps: StepDeps) {
    this.inputs = new StepInputs(work.keyed, stacks, deps);
    this.#earlier = work.earlier;
    this.#isRead = work.isRead;
    this.#deps = deps;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.inputs[Symbol.asyncDispose]();
  }

  get #keyed(): KeyedVertex {
    return this.inputs.keyed;
  }

  get earlier(): EarlierRecords {
    return { site: this.#keyed.site, recent: this.#earlier };
  }

  /** Takes the lease on running the step. While another build runs it, the display says so. */
  async lease(signal: AbortSignal): Promise<Lease> {
    const { solver, options } = this.#deps;
    const { meta, definitionKey } = this.#keyed;
    const key = `step ${definitionKey}`;
    const free = solver.store.leases.tryAcquire(key);
    const isOurs = options.schedule?.hasBegun(definitionKey) === true;
    options.schedule?.begin(definitionKey);
    if (free !== undefined) return free;
    debug("schedule", () => `${meta.name}: another build runs it, and this one waits`);
    if (!isOurs) {
      const message = `Waiting for another build that is running "${meta.instruction}"`;
      solver.progress({ kind: "notice", level: "info", message, hint: undefined });
    }
    return timed(
      "schedule",
      () => `wait for another build's ${meta.name}`,
      () => solver.store.leases.acquire(key, signal),
    );
  }

  /** Takes turns with the other solves of the schedule on a step that skips the cache; alone it runs at once. */
  async turn(signal: AbortSignal): Promise<Lease | undefined> {
    return this.#deps.options.schedule === undefined ? undefined : this.lease(signal);
  }

  /** Finds the record of this step if another solve of the schedule has run it. */
  ranInSchedule(): CacheRecord | undefined {
    const { options, solver } = this.#deps;
    const { definitionKey } = this.#keyed;
    return options.schedule?.hasRun(definitionKey) === true
      ? solver.store.records.findByDefinitionKey(definitionKey)
      : undefined;
  }

  /** Finds another machine's result for inputs with the same contents. */
  async foundElsewhere(signal: AbortSignal): Promise<CacheRecord | undefined> {
    const { remote } = this.#deps.solver;
    if (remote === undefined) return undefined;
    const contents = await this.#deps.earlierResults.contentParts(this.inputs, signal);
    if (contents === undefined) return undefined;
    const { parts } = this.#keyed;
    for (const asking of [parts, strongerParts(parts)]) {
      const key = asking === undefined ? undefined : contentKey([...asking, ...contents]);
      const found = key === undefined ? undefined : await remote.findByContentKey(key, signal);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Tells whether the layer of an equal result shows times of lower layers that differ in this build. */
  async wouldPutBack(equal: CacheRecord, signal: AbortSignal): Promise<boolean> {
    const own = equal.layers.at(-1);
    const lower = { before: equal.layers.slice(0, -1), now: this.inputs.parent() };
    if (own === undefined || lower.before.join(" ") === lower.now.join(" ")) return false;
    const { native, snapshotter, store } = this.#deps.solver;
    return showsOtherTimes(own, lower, { native, snapshotter, snapshots: store.snapshots }, signal);
  }

  /** Takes the result of a record of this very key instead of running. */
  taken({ id, layers }: CacheRecord): SettledStep {
    this.#deps.solver.store.records.touch([id]);
    return this.#settled(layers, "cached", undefined);
  }

  /**
   * Takes the layer of an equal step, on the present lower layers. Those are not replaced: they may differ in
   * properties outside every key, above all in times.
   */
  composed(equal: CacheRecord, how: "cutoff" | "cached", miss: MissReason | undefined): SettledStep {
    const { records, facts } = this.#deps.solver.store;
    const { definitionKey, site, meta } = this.#keyed;
    records.touch([equal.id]);
    const layers = [...this.inputs.parent(), ...equal.layers.slice(-1)];
    if (layers.join(" ") === equal.layers.join(" ")) {
      if (equal.definitionKey !== definitionKey) records.addAlias(equal.id, definitionKey);
      return this.#settled(layers, how, miss);
    }
    const parts = this.inputs.composedParts(equal);
    const id = hexOf(digestOf(`${definitionKey} ${layers.join(" ")}`)).slice(0, 32);
    const { wallMs, cpuMs, peakMemoryBytes, logFile, producer } = equal;
    const costs = { wallMs, cpuMs, peakMemoryBytes, logFile, producer };
    // Before the record: without it the record may be trusted by mistake.
    noteSameTrust(equal.id, id, { facts });
    records.insert(
      { id, definitionKey, contentKey: contentKey(parts), site, name: meta.name, parts, layers, ...costs },
      { snapshots: [] },
    );
    return this.#settled(layers, how, miss);
  }

  #settled(layers: Stack, how: "cutoff" | "cached", miss: MissReason | undefined): SettledStep {
    const { solver } = this.#deps;
    const { vertex, meta, definitionKey } = this.#keyed;
    debug("cache", () => `${how === "cutoff" ? "equal inputs" : "hit"} ${meta.name} ${definitionKey}`);
    solver.progress({ kind: "step-cached", id: vertex.digest, name: meta.name, atMs: solver.clock.nowMs() });
    return { layers, outcome: { how, definitionKey, miss }, keyed: this.#keyed };
  }

  /** Takes a slot on the machine that is to run the step, which is chosen now. */
  async slot(priority: number, signal: AbortSignal): Promise<Disposable> {
    const { elsewhere, slots } = this.#deps;
    const { op } = this.#keyed.vertex;
    const layers = this.inputs.stacks.flatMap((stack) => stack ?? []);
    const travels = elsewhere?.takes({ keyed: this.#keyed, earlier: this.#earlier[0], layers }) === true;
    this.#travelling = travels && op.kind === "exec" ? { op, elsewhere } : undefined;
    return (travels ? elsewhere.slots : slots).acquire(priority, signal);
  }

  explain(parts: readonly KeyPart[], signal: AbortSignal): Promise<MissReason> {
    return missReason({ keyed: this.#keyed, parts, earlier: this.#earlier }, this.inputs.listings, this.#deps, signal);
  }

  async run(priority: number, signal: AbortSignal): Promise<SettledStep> {
    const { solver, options } = this.#deps;
    const { vertex, meta } = this.#keyed;
    const id = vertex.digest;
    const travelling = this.#travelling;
    await this.inputs.prepare(travelling !== undefined, signal);
    const prepared = travelling === undefined ? undefined : await this.#prepareElsewhere(travelling, signal);
    const equal = meta.cache === "skip" ? undefined : await prepared?.cached(signal);
    const taken = equal === undefined ? undefined : takenElsewhere(equal);
    if (taken !== undefined) return this.#keep(taken, this.inputs.fullParts(), signal);
    const parts = this.inputs.fullParts();
    const miss = await this.explain(parts, signal);
    refuseUnexpected(miss, this.#keyed, options);
    const concerns = miss.kind === "changed" ? "step" : "build";
    solver.progress({ kind: "step-miss", id, name: meta.name, reason: missText(miss), concerns });
    const machine = travelling?.elsewhere.steps.location;
    const started = { kind: "step-started", id, name: meta.name, atMs: solver.clock.nowMs() } as const;
    solver.progress(machine === undefined ? started : { ...started, machine });
    debug("schedule", () => `run ${meta.name} on ${this.inputs.parent().length} layers: ${missText(miss)}`);
    try {
      const executed =
        travelling === undefined || prepared === undefined
          ? await this.#execute(parts, signal)
          : await this.#runElsewhere(travelling, prepared, priority, signal);
      const { snapshot, blob } = executed;
      const layers = [...this.inputs.parent(), await this.#bestLayer(snapshot, signal)];
      debug("schedule", () => `done ${meta.name}: layer ${layers.at(-1) ?? "none"}, ${executed.wallMs.toFixed(1)} ms`);
      this.#record(executed, layers, this.inputs.takeChanged() ? this.inputs.fullParts() : parts);
      // A layer that was written as a tar has been measured.
      if (layers.at(-1) === snapshot.id && blob === undefined) options.onCommitted?.(snapshot.id, id);
      const { usage } = executed;
      solver.progress({ kind: "step-done", id, atMs: solver.clock.nowMs(), ...(usage === undefined ? {} : { usage }) });
      const { definitionKey } = this.#keyed;
      options.schedule?.ran(definitionKey);
      return { layers, outcome: { how: "ran", definitionKey, miss, usage }, keyed: this.#keyed };
    } catch (raw) {
      const error = toldIfDiskFull(raw, meta);
      // After files have moved the step is tried again.
      const isCancelled = signal.aborted || isMovedSource(error);
      if (isCancelled) solver.progress({ kind: "step-cancelled", id, atMs: solver.clock.nowMs() });
      else solver.progress({ kind: "step-failed", id, atMs: solver.clock.nowMs(), message: messageOf(error) });
      throw withSpan(systemFailure("carry out this step", error), meta);
    }
  }

  #prepareElsewhere({ op, elsewhere }: Travelling, signal: AbortSignal): Promise<PreparedStep> {
    return prepareElsewhere(
      { keyed: this.#keyed, op },
      { inputs: this.inputs.trees(), files: this.inputs.files, selected: this.inputs.selected },
      elsewhere.steps,
      this.#deps,
      signal,
    );
  }

  async #runElsewhere(
    { op, elsewhere }: Travelling,
    prepared: PreparedStep,
    priority: number,
    signal: AbortSignal,
  ): Promise<Executed> {
    const { clock } = this.#deps.solver;
    const startedMs = clock.nowMs();
    const executed = await executeElsewhere({ keyed: this.#keyed, op }, prepared, priority, this.#deps, signal);
    elsewhere.learn(clock.nowMs() - startedMs, executed.wallMs);
    return executed;
  }

  /** Records the result of an equal step of another machine, which need not run again. */
  async #keep(executed: Executed, parts: readonly KeyPart[], signal: AbortSignal): Promise<SettledStep> {
    const miss = await this.explain(parts, signal);
    const layers = [...this.inputs.parent(), await this.#bestLayer(executed.snapshot, signal)];
    this.#record(executed, layers, this.inputs.takeChanged() ? this.inputs.fullParts() : parts);
    return this.#settled(layers, "cutoff", miss);
  }

  async #execute(parts: readonly KeyPart[], signal: AbortSignal): Promise<Executed> {
    const inputs = this.inputs.trees();
    const at = {
      inputs,
      parent: distinct(this.inputs.parent()),
      files: this.inputs.files,
      selected: this.inputs.selected,
    };
    const { solver } = this.#deps;
    const tar = this.#isRead ? undefined : earlierTar(this.#keyed, this.#earlier, solver.store);
    const written = this.#isRead ? undefined : await writeCopy(this.#keyed, at, tar, this.#deps, signal);
    if (written !== undefined) return written;
    const copy = { selection: this.inputs.selected.get(copyPart(0)), parts };
    const readListing = (digest: Digest): string | undefined => this.inputs.listings.read(digest);
    using earlier = earlierCopy(this.#keyed, copy, this.#earlier, readListing, solver);
    return await executeStep(this.#keyed, { ...at, earlier }, this.#deps, signal);
  }

  /** Returns the new layer, or an older one of this step with the same contents. */
  async #bestLayer(made: NewSnapshot, signal: AbortSignal): Promise<SnapshotId> {
    const { vertex, meta } = this.#keyed;
    const { id } = made;
    // A copy of changed files gives other files; only commands tend to give the same result again.
    if (meta.cache === "skip" || vertex.op.kind !== "exec" || this.#earlier.length === 0) return id;
    // The row comes before the record, so that facts about the layer have a place. Alone it is only garbage.
    this.#deps.solver.store.snapshots.insert([made]);
    return (await this.#deps.earlierResults.equalLayer(id, this.inputs.parent(), this.earlier, signal)) ?? id;
  }

  #record(executed: Executed, layers: Stack, parts: readonly KeyPart[]): void {
    const { solver } = this.#deps;
    const { definitionKey, site, meta } = this.#keyed;
    const { snapshot, blob, wallMs, usage, logFile } = executed;
    solver.store.records.insert(
      {
        id: hexOf(digestOf(`${definitionKey} ${snapshot.id}`)).slice(0, 32),
        definitionKey,
        contentKey: contentKey(parts),
        site,
        name: meta.name,
        parts,
        layers,
        wallMs,
        cpuMs: usage?.cpuMs ?? 0,
        peakMemoryBytes: usage?.peakMemoryBytes,
        logFile,
        producer: "local",
      },
      { snapshots: [snapshot], ...(blob === undefined ? {} : { layerBlobs: [blob] }) },
    );
  }
}
