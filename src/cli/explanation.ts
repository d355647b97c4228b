import type { BuildReport, ReportedStep } from "../engine/report.ts";
import type { PartChange } from "../../solver/cache/explain.ts";
import { missText } from "../../solver/cache/reason-text.ts";
import { printable, printableJson } from "../../lib/core/printable.ts";
import type { StepUsage } from "../../lib/core/progress.ts";
import { formatBytes } from "../progress/step-book.ts";
import type { CommandContext } from "./context.ts";
import { ago } from "./table.ts";

/** Prints the output of `--explain`. JSON is for tools, so nothing else goes to standard output. */
export function printExplanation(context: CommandContext, report: BuildReport, format: "text" | "json"): void {
  if (format === "json") context.print(printableJson(report));
  else for (const line of explainBuild(report, context.host.nowMs())) context.warn(printable(line));
}

/**
 * Explains a build for people: a head line, then one line for each step that was not simply cached. A reason that
 * several steps share is printed once, above their names.
 */
export function explainBuild(report: BuildReport, nowMs: number): readonly string[] {
  const head = `${title(report)}, ${ago(report.startedAtMs, nowMs).toLowerCase()}`;
  const missed = report.steps.filter((step) => step.how !== "cached");
  const ran = missed.filter((step) => step.how === "ran").length;
  const result = report.error === undefined ? countOf(ran, report.total) : `failed, ${report.error.message}`;
  const groups = new Map<string, ReportedStep[]>();
  for (const step of missed) {
    const shared = sharedReason(step);
    const group = groups.get(shared ?? step.name);
    if (group !== undefined && shared !== undefined) group.push(step);
    else groups.set(shared ?? step.name, [step]);
  }
  return [`${head}: ${result}`, ...[...groups].flatMap(([reason, steps]) => explainGroup(reason, steps))];
}

/** Returns a reason that is not specific to one step. */
function sharedReason({ how, miss }: ReportedStep): string | undefined {
  return how !== "ran" || miss === undefined || miss.kind === "changed" ? undefined : missText(miss);
}

function explainGroup(reason: string, steps: readonly ReportedStep[]): readonly string[] {
  if (steps.length === 1) return steps.map(explainStep);
  return [`${reason}, ${steps.length} steps:`, ...steps.map((step) => `  ${step.instruction}${ranAt(step)}`)];
}

function ranAt({ machine }: ReportedStep): string {
  return machine === undefined ? "" : ` (ran at ${machine})`;
}

/** Explains one step in one line. */
export function explainStep(step: ReportedStep): string {
  switch (step.how) {
    case "cached":
      return `${step.name}: cached`;
    case "ran":
      return `${step.why ?? step.name}${ranAt(step)}`;
    case "cutoff":
      return `${step.why ?? step.name} (its inputs are equal, so the earlier result was taken)`;
    default:
      return step.how satisfies never;
  }
}

/** Lists details of a step: values before and after, files by name, and its command's resources. */
export function explainDetails(step: ReportedStep): readonly string[] {
  const changes = step.miss?.kind === "changed" ? step.miss.changes.flatMap(changeLines) : [];
  return [...changes, ...(step.usage === undefined ? [] : [usageLine(step.usage)])];
}

function usageLine(usage: StepUsage): string {
  const { cpuMs, peakMemoryBytes, readBytes, writtenBytes } = usage;
  const bytes = (value: number | undefined, of: string): readonly string[] =>
    value === undefined ? [] : [`${formatBytes(value)} ${of}`];
  const facts = [
    `${(cpuMs / 1000).toFixed(2)} s of processor time`,
    ...bytes(peakMemoryBytes, "of memory at most"),
    ...bytes(readBytes, "read from disks"),
    ...bytes(writtenBytes, "written"),
  ];
  return `  took ${facts.join(", ")}`;
}

function changeLines(change: PartChange): readonly string[] {
  switch (change.kind) {
    case "value":
      return [`  ${change.name}: ${change.from ?? "(not set)"} -> ${change.to ?? "(not set)"}`];
    case "files":
      return change.files.map((file) => `  ${file.path} (${file.what.join(", ")})`);
    case "order":
    case "text":
    case "source":
    case "base":
    case "input":
      return []; // the line is complete
    default:
      return change satisfies never;
  }
}

function title(report: BuildReport): string {
  const target = report.target === undefined ? "" : `, target ${report.target}`;
  return `Build of ${[report.context, ...report.tags].join(" as ")}${target}`;
}

function countOf(ran: number, total: number): string {
  if (total === 0) return "it has no steps";
  return ran === 0 ? "everything came from the cache" : `${ran} of ${total} steps ran`;
}
