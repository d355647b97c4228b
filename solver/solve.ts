import { timed } from "../lib/core/debug.ts";
import type { Digest } from "../lib/core/digest.ts";
import { unreachable } from "../lib/core/errors.ts";
import { Semaphore } from "../lib/core/limits.ts";
import { keyGraph, type KeyedVertex, type KeyingDeps, rekey, reselect } from "./cache/keyed-graph.ts";
import type { SolveOptions, SolveResult, SolverDeps, VertexOutcome } from "./deps.ts";
import { requireEntitlements } from "./entitlements.ts";
import type { Graph } from "./graph/graph.ts";
import { isShownWhenCached } from "./graph/op-facts.ts";
import type { ExecSettings, Stack } from "./ports.ts";
import { EarlierResults } from "./schedule/earlier-results.ts";
import { isMovedSource } from "../lib/tree/moved-source.ts";
import { FileWork, MAX_SCANS } from "./ops/file/file-work.ts";
import { attributeLayers, derivedLayers } from "./schedule/layers.ts";
import { Materializer } from "./schedule/materializer.ts";
import { type Planned, type PlannedMiss, planByNeed } from "./schedule/plan.ts";
import { runInOrder } from "./schedule/run-in-order.ts";
import { LookUp } from "./schedule/look-up.ts";
import { warningAt } from "./warning.ts";
import { settleStep, type SettledStep, type StepDeps } from "./schedule/step.ts";
import type { DigestedSelection } from "./select/digest-selection.ts";

/**
 * Makes the layers of a graph's targets. First it computes all keys, from definitions and local files alone; then it
 * descends from the targets to recorded results; then it settles the misses, inputs before users, concurrently.
 *
 * Nothing is fetched, mounted, unpacked or digested for a step that hits. Every step that runs is recorded, and its
 * reason is reported before it starts.
 * @throws {BuildError} `runtime/entitlement`, before anything is done; later the first failure of a step, after which
 * others are stopped and their trees discarded. A cached layer that cannot be had fails its users (`lostLayer`): once
 * it is forgotten, solving again runs its step.
 */
export async function solve(
  graph: Graph,
  deps: SolverDeps,
  options: SolveOptions,
  signal: AbortSignal,
): Promise<SolveResult> {
  requireEntitlements(graph, options.exec.entitlements);
  await using contexts = new FileWork({ ...deps, snapshots: deps.store.snapshots });
  const sources: KeyingDeps = {
    isolation: deps.isolation,
    http: deps.http,
    git: deps.git,
    selectLocal: (use, op, look, s) =>
      timed(
        "sources",
        () => `select ${use.part} of ${op.name}`,
        () => contexts.digestSelection(use, op, look, s),
      ),
    wholeContexts: options.wholeContexts ?? new Set(),
    warn: (meta, message) => deps.progress(warningAt(meta, message)),
  };
  const keyed = await timed("schedule", "make keys", () => keyGraph(graph, sources, signal));
  return await solveKeyed(graph, { keyed, contexts }, deps, options, signal);
}

async function solveKeyed(
  graph: Graph,
  { keyed, contexts }: { readonly keyed: Map<Digest, KeyedVertex>; readonly contexts: FileWork },
  solver: SolverDeps,
  options: SolveOptions,
  signal: AbortSignal,
): Promise<SolveResult> {
  const lookUp = new LookUp(solver.store.records, solver.remote, keyed);
  const plan = { lookUp, records: solver.store.records, resultIsRead: options.resultIsRead === true };
  const planned = await timed("schedule", "look up", () => planByNeed(graph.targets, keyed, plan, signal));
  await options.onPlanned?.(keyed);
  const outcomes = new Map<Digest, VertexOutcome>();
  const results = new Map<Digest, Stack>();
  takeHits(graph, keyed, planned, solver, { outcomes, results });
  for (const [vertex, layers] of results) options.onLayers?.(vertex, layers);

  const materializer = new Materializer(solver);
  const slots = options.schedule?.slots ?? new Semaphore(options.jobs);
  const deps: StepDeps = {
    solver,
    options,
    keyed,
    materializer,
    earlierResults: new EarlierResults(solver.store, solver.digests),
    slots,
    elsewhere: await elsewhereOf(solver, { planned, exec: options.exec, here: slots }, signal),
  };
  const settle = async (work: Planned, s: AbortSignal): Promise<void> => {
    const { vertex, meta } = work.keyed;
    const inputs = vertex.inputs.map((input) => results.get(input.digest));
    switch (work.kind) {
      case "hit":
        return;
      case "derived": {
        const stack = await derivedLayers(
          vertex,
          inputs.map((input) => input ?? []),
          solver.images,
          s,
        );
        if (vertex.op.kind === "image") materializer.addImage({ id: vertex.digest, name: meta.name, stack });
        results.set(vertex.digest, stack);
        return;
      }
      case "miss": {
        // A step below may have got another key since this was planned.
        const current = keyed.get(vertex.digest) ?? work.keyed;
        const settled = await settleAtRest({ ...work, keyed: current }, inputs, contexts, deps, s);
        // Its users have not begun: they wait for it.
        if (settled.keyed !== current) rekey(keyed, settled.keyed, solver.isolation);
        results.set(vertex.digest, settled.layers);
        options.onLayers?.(vertex.digest, settled.layers);
        outcomes.set(vertex.digest, settled.outcome);
        return;
      }
      default:
        unreachable(work);
    }
  };
  const misses = new Map([...planned].filter(([, work]) => work.kind !== "hit"));
  if (misses.size > 0) {
    await timed(
      "schedule",
      () => `settle ${misses.size} steps`,
      () => runInOrder(misses, settle, signal),
    );
    materializer.close();
  }

  const countOf = async (digest: Digest): Promise<number | undefined> => {
    const known = results.get(digest);
    if (known !== undefined) return known.length;
    const key = keyed.get(digest);
    if (key === undefined) return undefined;
    if (key.vertex.op.kind === "image") return (await solver.images.stack(key.vertex.op, signal)).length;
    return solver.store.records.findByDefinitionKey(key.definitionKey)?.layers.length;
  };
  const targets: SolveResult["targets"][number][] = [];
  for (const target of graph.targets) {
    const layers = results.get(target.digest);
    if (layers === undefined) throw new Error("A target has no result");
    targets.push({ layers: await attributeLayers(target, layers, (vertex) => countOf(vertex.digest)) });
  }
  return { targets, outcomes };
}

/** Asks other machines whether they run steps, where there are some for them. */
async function elsewhereOf(
  { remoteSteps: steps, store, progress }: SolverDeps,
  {
    planned,
    exec,
    here,
  }: { readonly planned: ReadonlyMap<string, Planned>; readonly exec: ExecSettings; readonly here: Semaphore },
  signal: AbortSignal,
): Promise<StepDeps["elsewhere"]> {
  const hasCommands = [...planned.values()].some(
    ({ kind, keyed }) => kind === "miss" && keyed.vertex.op.kind === "exec",
  );
  const count = steps === undefined || !hasCommands ? undefined : await steps.slots(signal);
  if (steps === undefined || count === undefined) return undefined;
  const { Elsewhere } = await import("./schedule/elsewhere.ts");
  return new Elsewhere(count, { steps, store, progress, exec, here });
}

/** Settles a step, with a few more attempts when files of a local directory come and go. */
async function settleAtRest(
  work: PlannedMiss,
  inputs: readonly (Stack | undefined)[],
  contexts: FileWork,
  deps: StepDeps,
  signal: AbortSignal,
): Promise<SettledStep> {
  let { keyed } = work;
  for (let left = MAX_SCANS; ; left -= 1) {
    try {
      return await settleStep({ ...work, keyed }, inputs, deps, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (left <= 1 || !isMovedSource(error)) throw error;
      keyed = await selectAgain(keyed, contexts, deps, signal);
    }
  }
}

async function selectAgain(
  keyed: KeyedVertex,
  contexts: FileWork,
  deps: StepDeps,
  signal: AbortSignal,
): Promise<KeyedVertex> {
  const { vertex, uses } = keyed;
  contexts.lookAgain(vertex.inputs.flatMap(({ op }) => (op.kind === "local" ? [op] : [])));
  const selected = new Map<string, DigestedSelection>();
  for (const use of uses) {
    const op = vertex.inputs[use.input]?.op;
    if (op?.kind === "local")
      selected.set(use.part, await contexts.digestSelection(use, op, { reading: "known" }, signal));
  }
  return reselect(keyed, selected, { keyed: deps.keyed, isolation: deps.solver.isolation });
}

/** Records and reports everything that hits, or lies below a hit: it needs no work. */
function takeHits(
  graph: Graph,
  keyed: ReadonlyMap<Digest, KeyedVertex>,
  planned: ReadonlyMap<string, Planned>,
  deps: SolverDeps,
  into: { readonly outcomes: Map<Digest, VertexOutcome>; readonly results: Map<Digest, Stack> },
): void {
  const used: string[] = [];
  const atMs = deps.clock.nowMs();
  for (const { vertex, meta, definitionKey } of keyed.values()) {
    into.outcomes.set(vertex.digest, { how: "cached", definitionKey, miss: undefined });
    const work = planned.get(vertex.digest);
    if (work?.kind === "hit") {
      used.push(work.record.id);
      into.results.set(vertex.digest, work.record.layers);
    }
    const isShown = graph.meta.has(vertex.digest) && isShownWhenCached(vertex.op);
    if (isShown && (work === undefined || work.kind === "hit")) {
      deps.progress({ kind: "step-cached", id: vertex.digest, name: meta.name, atMs });
    }
  }
  deps.store.records.touch(used);
}
