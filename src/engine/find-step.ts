import { BuildError } from "../../lib/core/errors.ts";
import { printableJson } from "../../lib/core/printable.ts";
import type { CacheRecord, SnapshotId } from "../../lib/store/model.ts";
import type { Store } from "../../lib/store/store.ts";
import { type FailedStep, failedSteps } from "../../solver/ops/exec/failed-step.ts";
import { stepsNamed } from "./named-steps.ts";
import { parseReport } from "./report-shape.ts";
import type { BuildReport, ReportedStep } from "./report.ts";

/** A step of the last build whose files are known: one that failed and was kept, or one with a record. */
export type FoundStep =
  | {
      readonly kind: "failed";
      readonly name: string;
      readonly layers: readonly SnapshotId[];
      readonly step: FailedStep;
    }
  | {
      readonly kind: "made";
      readonly name: string;
      readonly layers: readonly SnapshotId[];
      readonly record: CacheRecord;
    };

/**
 * Finds a step: `failed`, the id of a failed step, or one of the last build by its number (`3`, `3/5`), stage or text.
 * @throws {BuildError} `solver/not-found` where there is none, or several, or its files are unknown
 */
export function findStep(store: Store, wanted: string): FoundStep {
  const kept = failedSteps(store);
  const failed = wanted === "failed" ? kept[0] : kept.find(({ id }) => wanted.length >= 4 && id.startsWith(wanted));
  if (failed !== undefined) return foundFailed(failed);
  const report = lastReport(store);
  const found = report === undefined ? [] : stepsNamed(report.steps, wanted);
  // A build that failed lists no cached steps: these are found among the records that it used.
  if (report === undefined || found.length === 0) return foundRecord(store, wanted, report?.startedAtMs ?? 0);
  refuseSeveral(
    wanted,
    found.map(({ name }) => name),
  );
  return filesOf(store, report, found[0] ?? { name: wanted });
}

function foundRecord(store: Store, wanted: string, sinceMs: number): FoundStep {
  const all = [...store.records.list()].toSorted((a, b) => b.lastUsedMs - a.lastUsedMs);
  // The time of use is not noted at every use.
  const recent = stepsNamed(all.filter(({ lastUsedMs }) => lastUsedMs >= sinceMs).map(stepOf), wanted);
  const named = recent.length > 0 ? recent : stepsNamed(all.map(stepOf), wanted);
  const record = all.find(({ name }) => name === named[0]?.name);
  if (record === undefined) {
    throw notFound(
      wanted,
      "the last build has no such step",
      "`kiln why --json` lists its steps; two images need two names",
    );
  }
  refuseSeveral(
    wanted,
    named.map((step) => step.name),
  );
  return { kind: "made", name: record.name, layers: record.layers, record };
}

/** Reads a step's stage and instruction from its name, `[build 2/5] RUN make`. */
function stepOf({ name }: CacheRecord): Pick<ReportedStep, "name" | "stage" | "instruction"> {
  const [, stage, instruction = name] = /^\[(?:(.*) )?\d+\/\d+\] (.*)$/s.exec(name) ?? [];
  return { name, stage, instruction };
}

/** @throws {BuildError} `solver/not-found` where several names fit */
function refuseSeveral(wanted: string, names: readonly string[]): void {
  const different = [...new Set(names)];
  if (different.length < 2) return;
  throw notFound(
    wanted,
    `${different.length} steps of the last build fit`,
    `say which: ${different.slice(0, 5).join("; ")}`,
  );
}

function filesOf(store: Store, report: BuildReport, step: Pick<ReportedStep, "name" | "layer">): FoundStep {
  const failed = failedSteps(store).find(
    ({ name, failedAtMs }) => name === step.name && failedAtMs >= report.startedAtMs,
  );
  if (failed !== undefined) return foundFailed(failed);
  const inResult = new Set<string>(report.record?.result?.layers.map(({ id }) => id));
  const records = [...store.records.list()].filter(({ name }) => name === step.name);
  const own = (record: CacheRecord): string => record.layers.at(-1) ?? "";
  const record =
    records.find((one) => step.layer !== undefined && own(one) === step.layer) ??
    records.find((one) => inResult.has(own(one))) ??
    records[0];
  if (record === undefined) {
    throw notFound(
      step.name,
      "the store has no files of it",
      "FROM and steps that did not run have no files of their own",
    );
  }
  return { kind: "made", name: step.name, layers: record.layers, record };
}

function foundFailed(step: FailedStep): FoundStep {
  return { kind: "failed", name: step.name, layers: [...step.parent, step.id], step };
}

/** Returns the last build that knew its steps. */
function lastReport(store: Pick<Store, "builds">): BuildReport | undefined {
  for (const kept of store.builds.list()) {
    const report = parseReport(kept);
    if (report !== undefined && report.steps.length > 0) return report;
  }
  return undefined;
}

function notFound(wanted: string, why: string, hint: string): BuildError {
  return new BuildError("solver/not-found", `Cannot find the step ${printableJson(wanted)}: ${why}`, { hint });
}
