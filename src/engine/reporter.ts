import { BuildError, messageOf } from "../../lib/core/errors.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { ProgressEvent, ProgressSink } from "../../lib/core/progress.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { Store } from "../../lib/store/store.ts";
import type { MissReason } from "../../solver/cache/explain.ts";
import { missText } from "../../solver/cache/reason-text.ts";
import type { VertexOutcome } from "../../solver/deps.ts";
import type { Graph } from "../../solver/graph/graph.ts";
import { isRecorded, parentInput } from "../../solver/graph/op-facts.ts";
import { inputsFirst } from "../../solver/graph/order.ts";
import { boundedWork, beganRecord, reportJson } from "./build-record.ts";
import type { BuildOptions } from "./options.ts";
import type { BuildRecord, BuildReport, RecordedWork, ReportedStep } from "./report.ts";

/** Limit: larger builds are reported without cached steps, because the report is written at the end of every build. */
const LISTED_STEPS = 1000;

type AboutBuild = Pick<BuildReport, "id" | "startedAtMs" | "context" | "target" | "tags">;

/** A collector's surroundings. */
interface ReporterParts {
  readonly options: BuildOptions;
  /** A local context's directory, and the commit that is checked out in it. */
  readonly place: Pick<BuildRecord, "directory" | "commit">;
  /** A clock that only goes forward, in milliseconds. */
  readonly tick: () => number;
}

/** Runs `work`, and reports it however it ends: to the store and to `onReport`. */
export async function reported<T>(
  reporter: BuildReporter,
  sinks: {
    readonly store: Pick<Store, "builds" | "snapshots">;
    readonly onReport: ((report: BuildReport) => void) | undefined;
  },
  work: () => Promise<T>,
): Promise<T> {
  const { store, onReport } = sinks;
  const { options } = reporter.parts;
  store.builds.begin(reportJson(reporter.begun(), options));
  const tell = (end: { readonly error?: unknown }): void => {
    const report = reporter.report(end, store);
    store.builds.add(report.id, reportJson(report, options));
    if (reporter.hasGraph) onReport?.(report);
  };
  try {
    const result = await work();
    tell({});
    return result;
  } catch (error) {
    tell({ error });
    throw error;
  }
}

/** The facts of a finished build for its record. */
export type FinishedBuild = Pick<BuildRecord, "steps" | "result" | "warnings">;

/** A collector of one build's report. */
export class BuildReporter {
  readonly about: AboutBuild;
  readonly parts: ReporterParts;
  readonly #startedMs: number;
  readonly #misses = new Map<Digest, MissReason>();
  readonly #logs = new Map<Digest, string>();
  readonly #layers = new Map<Digest, SnapshotId>();
  /** Lines of the display by id: vertices and internal work. */
  readonly #shown = new Map<string, Shown>();
  #graph: Graph | undefined;
  #outcomes: ReadonlyMap<Digest, VertexOutcome> | undefined;
  #finished: FinishedBuild | undefined;
  #dockerfile: Pick<BuildRecord, "dockerfile" | "commit"> = {};

  constructor(about: AboutBuild, parts: ReporterParts) {
    this.about = about;
    this.parts = parts;
    this.#startedMs = parts.tick();
  }

  /** True when the build came so far that it knew its steps. */
  get hasGraph(): boolean {
    return this.#graph !== undefined;
  }

  /** Passes events on, and notes when each line of the display began and ended. */
  beside(progress: ProgressSink): ProgressSink {
    return (event) => {
      progress(event);
      this.#take(event);
    };
  }

  /** Sets facts that are known once the context is loaded. */
  loaded(facts: Pick<BuildRecord, "dockerfile" | "commit">): void {
    this.#dockerfile = facts;
  }

  /** Sets the graph, before solving, so that a failure can be reported. */
  solving(graph: Graph): void {
    this.#graph = graph;
  }

  missed(vertex: Digest, miss: MissReason): void {
    this.#misses.set(vertex, miss);
  }

  logged(vertex: Digest, log: string): void {
    this.#logs.set(vertex, log);
  }

  /** Notes the layers of a vertex, lowest first. */
  made(vertex: Digest, layers: readonly SnapshotId[]): void {
    const own = layers.at(-1);
    if (own !== undefined) this.#layers.set(vertex, own);
  }

  solved(outcomes: ReadonlyMap<Digest, VertexOutcome>): void {
    this.#outcomes = outcomes;
  }

  finished(facts: FinishedBuild): void {
    this.#finished = facts;
  }

  /** Makes the report of a build that is killed. */
  begun(): BuildReport {
    const { options, place } = this.parts;
    return { version: 1, ...this.about, error: undefined, total: 0, steps: [], record: beganRecord(options, place) };
  }

  /** Makes the report of a build that has ended. */
  report({ error }: { readonly error?: unknown }, store: Pick<Store, "snapshots">): BuildReport {
    const begun = this.begun();
    const durationMs = rounded(this.parts.tick() - this.#startedMs);
    const { total, steps } = this.#steps(store);
    const failure = errorOf(error);
    const status = failure === undefined ? "completed" : failure.code === "build/cancelled" ? "cancelled" : "failed";
    const known = begun.record ?? beganRecord(this.parts.options, this.parts.place);
    const record: BuildRecord = {
      ...known,
      ...this.#dockerfile,
      commit: this.#dockerfile.commit ?? known.commit,
      ...this.#finished,
      status,
      durationMs,
      work: boundedWork(this.#work()),
    };
    return { ...begun, error: failure, total, steps, record };
  }

  #steps(store: Pick<Store, "snapshots">): Pick<BuildReport, "total" | "steps"> {
    const graph = this.#graph;
    if (graph === undefined) return { total: 0, steps: [] };
    let total = 0;
    const isListed = graph.meta.size <= LISTED_STEPS;
    const listed: Digest[] = [];
    for (const digest of graph.meta.keys()) {
      const outcome = this.#outcomes?.get(digest);
      if (outcome === undefined && !this.#misses.has(digest)) continue;
      total += 1;
      if (isListed || outcome?.how !== "cached") listed.push(digest);
    }
    const needs = needsOf(graph, listed);
    const layers = new Map(this.#finished?.result?.layers.map(({ id, bytes }) => [id, bytes]));
    const unknown = listed.flatMap((digest) => {
      const layer = needs.get(digest)?.hasLayer === true ? this.#layers.get(digest) : undefined;
      return layer === undefined || layers.get(layer) !== undefined ? [] : [layer];
    });
    if (unknown.length > 0)
      for (const { id, tarSizeBytes } of store.snapshots.getMany(unknown)) layers.set(id, tarSizeBytes);
    return { total, steps: listed.map((digest) => this.#step(digest, graph, needs.get(digest), layers)) };
  }

  #step(
    digest: Digest,
    graph: Graph,
    needs: Needs | undefined,
    layers: ReadonlyMap<string, number | undefined>,
  ): ReportedStep {
    const { name = "", stage, instruction = "", span } = graph.meta.get(digest) ?? {};
    const outcome = this.#outcomes?.get(digest);
    const miss = outcome?.miss ?? this.#misses.get(digest);
    const why = miss === undefined ? undefined : `${missText(miss)}: ${instruction}`;
    const shown = this.#shown.get(digest);
    const layer = needs?.hasLayer === true ? this.#layers.get(digest) : undefined;
    return {
      name,
      stage,
      instruction,
      how: outcome?.how ?? "ran",
      miss,
      why,
      usage: outcome?.usage,
      place: span === undefined ? undefined : { file: span.source.name, line: span.start.line },
      ...(shown?.machine === undefined ? {} : { machine: shown.machine }),
      ...(shown === undefined ? {} : { state: stateOf(shown), startMs: shown.startMs, endMs: shown.endMs }),
      ...(needs === undefined || needs.indexes.length === 0
        ? {}
        : { needs: needs.indexes, isOnFirst: needs.isOnFirst }),
      layer,
      layerBytes: layer === undefined ? undefined : layers.get(layer),
      log: this.#logs.get(digest),
    };
  }

  /** Lists the lines of the display that are no steps. */
  #work(): readonly RecordedWork[] {
    const isStep = (id: string): boolean => id.startsWith("sha256:");
    return [...this.#shown].flatMap(([id, shown]) =>
      isStep(id) ? [] : [{ name: shown.name, startMs: shown.startMs, endMs: shown.endMs, state: stateOf(shown) }],
    );
  }

  #take(event: ProgressEvent): void {
    if (event.kind === "step-started") {
      // A step that begins again, with other files, counts from its first beginning.
      const startMs = this.#shown.get(event.id)?.startMs ?? this.#now();
      this.#shown.set(event.id, {
        name: event.name,
        startMs,
        endMs: undefined,
        state: undefined,
        machine: event.machine,
      });
      return;
    }
    if (event.kind === "step-cached") {
      const now = this.#now();
      const startMs = this.#shown.get(event.id)?.startMs ?? now;
      this.#shown.set(event.id, { name: event.name, startMs, endMs: now, state: "cached", machine: undefined });
      return;
    }
    const state = ENDS[event.kind];
    const shown = state === undefined || !("id" in event) ? undefined : this.#shown.get(event.id);
    if (state === undefined || shown === undefined) return;
    shown.endMs = this.#now();
    shown.state ??= state;
  }

  #now(): number {
    return rounded(this.parts.tick() - this.#startedMs);
  }
}

/** A line of the display. */
interface Shown {
  readonly name: string;
  readonly startMs: number;
  endMs: number | undefined;
  state: RecordedWork["state"] | undefined;
  readonly machine: string | undefined;
}

const ENDS: Readonly<Partial<Record<ProgressEvent["kind"], RecordedWork["state"]>>> = {
  "step-done": "done",
  "step-failed": "failed",
  "step-cancelled": "cancelled",
};

/** Work without an end was cut off. */
function stateOf({ state }: Shown): RecordedWork["state"] {
  return state ?? "cancelled";
}

/** The true dependencies of one step. */
interface Needs {
  readonly indexes: readonly number[];
  /** True when the first of them is the tree that the step changes. */
  readonly isOnFirst: boolean;
  readonly hasLayer: boolean;
}

/** Finds the listed steps that each listed step needs; what is not listed stands for what it needs itself. */
function needsOf({ targets }: Graph, listed: readonly Digest[]): ReadonlyMap<Digest, Needs> {
  const indexes = new Map(listed.map((digest, index) => [digest, index]));
  const reached = new Map<Digest, readonly number[]>();
  const needs = new Map<Digest, Needs>();
  for (const { digest, op, inputs } of inputsFirst(targets)) {
    const index = indexes.get(digest);
    const below = inputs.map((input) => reached.get(input.digest) ?? []);
    // Among unlisted steps this could grow with every one of them, so only the nearest count.
    const all = [...new Set(below.flat())].slice(0, MAX_NEEDS);
    reached.set(digest, index === undefined ? all : [index]);
    if (index === undefined) continue;
    const isOnFirst = parentInput(op) === 0 && (below[0]?.length ?? 0) > 0;
    needs.set(digest, { indexes: all, isOnFirst, hasLayer: isRecorded(op) });
  }
  return needs;
}

const MAX_NEEDS = 64;

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}

function errorOf(error: unknown): BuildReport["error"] {
  if (error === undefined) return undefined;
  if (error instanceof BuildError) return { code: error.code, message: error.message };
  return { code: "bug", message: messageOf(error) };
}
