import { BuildError, messageOf } from "../../lib/core/errors.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { StepUsage } from "../../lib/core/progress.ts";
import type { Store } from "../../lib/store/store.ts";
import type { MissReason } from "../../solver/cache/explain.ts";
import { missText } from "../../solver/cache/reason-text.ts";
import type { VertexOutcome } from "../../solver/deps.ts";
import type { Graph } from "../../solver/graph/graph.ts";

/**
 * The outcome of each step of one build, and the reasons of those that ran. Plain JSON: the store keeps the last ones.
 */
export interface BuildReport {
  /** Version; raise it when the members change their meaning. */
  readonly version: 1;
  readonly id: string;
  readonly startedAtMs: number;
  /** The context as given: a directory, a URL or `-`. */
  readonly context: string;
  readonly target: string | undefined;
  /** The requested names, as given. */
  readonly tags: readonly string[];
  readonly error: { readonly code: string; readonly message: string } | undefined;
  /** Number of all steps, including those that `steps` leaves out. */
  readonly total: number;
  /** Steps in the order of the Dockerfile. Very large builds list only uncached ones. */
  readonly steps: readonly ReportedStep[];
}

/** Limit: larger builds are reported without cached steps, because the report is written at the end of every build. */
const LISTED_STEPS = 1000;

export interface ReportedStep {
  /** `[build 2/5] RUN make`. */
  readonly name: string;
  readonly stage: string | undefined;
  /** `RUN make`. */
  readonly instruction: string;
  /**
   * `cutoff`: the key was new, and an earlier result of equal inputs was taken. In a failed build, `ran` includes
   * unfinished steps.
   */
  readonly how: VertexOutcome["how"];
  /** Absent for cached steps. */
  readonly miss: MissReason | undefined;
  /** The same as one line: `src/a.ts (content): COPY . .`. */
  readonly why: string | undefined;
  /** Resources that its command used in this build. */
  readonly usage?: StepUsage | undefined;
}

type AboutBuild = Pick<BuildReport, "id" | "startedAtMs" | "context" | "target" | "tags">;

/** Runs `work`, and reports it however it ends: to the store and to `onReport`. */
export async function reported<T>(
  about: AboutBuild,
  sinks: { readonly store: Pick<Store, "builds">; readonly onReport: ((report: BuildReport) => void) | undefined },
  work: (reporter: BuildReporter) => Promise<T>,
): Promise<T> {
  const reporter = new BuildReporter(about);
  const tell = (error?: unknown): void => {
    const report = reporter.report(error);
    if (report === undefined) return;
    sinks.store.builds.add(report.id, report);
    sinks.onReport?.(report);
  };
  try {
    const result = await work(reporter);
    tell();
    return result;
  } catch (error) {
    tell(error);
    throw error;
  }
}

/** A collector of one build's report. */
export class BuildReporter {
  readonly about: AboutBuild;
  readonly #misses = new Map<Digest, MissReason>();
  #graph: Graph | undefined;
  #outcomes: ReadonlyMap<Digest, VertexOutcome> | undefined;

  constructor(about: AboutBuild) {
    this.about = about;
  }

  /** Sets the graph, before solving, so that a failure can be reported. */
  solving(graph: Graph): void {
    this.#graph = graph;
  }

  missed(vertex: Digest, miss: MissReason): void {
    this.#misses.set(vertex, miss);
  }

  solved(outcomes: ReadonlyMap<Digest, VertexOutcome>): void {
    this.#outcomes = outcomes;
  }

  /** Returns the report; `undefined` for a build that ended before there was a graph. */
  report(error?: unknown): BuildReport | undefined {
    if (this.#graph === undefined) return undefined;
    let total = 0;
    const isListed = this.#graph.meta.size <= LISTED_STEPS;
    const steps: ReportedStep[] = [];
    for (const [digest, meta] of this.#graph.meta) {
      const { name, stage, instruction } = meta;
      const outcome = this.#outcomes?.get(digest);
      const miss = outcome?.miss ?? this.#misses.get(digest);
      if (miss === undefined && outcome === undefined) continue;
      total += 1;
      if (!isListed && outcome?.how === "cached") continue;
      const why = miss === undefined ? undefined : `${missText(miss)}: ${instruction}`;
      const usage = outcome?.usage;
      steps.push({ name, stage, instruction, how: outcome?.how ?? "ran", miss, why, usage });
    }
    return { version: 1, ...this.about, error: errorOf(error), total, steps };
  }
}

function errorOf(error: unknown): BuildReport["error"] {
  if (error === undefined) return undefined;
  if (error instanceof BuildError) return { code: error.code, message: error.message };
  return { code: "bug", message: messageOf(error) };
}
