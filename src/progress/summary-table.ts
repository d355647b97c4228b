import { printableLine } from "../../lib/core/printable.ts";
import { formatBytes, formatSeconds } from "./step-book.ts";
import type { BuildSummary, SummarizedStep } from "./summary.ts";
import { fit, pad, textWidth } from "./width.ts";

/** Heads of the columns. The first two hold words, the others numbers. */
export const SUMMARY_COLUMNS = ["STEP", "CACHED, OR WHY NOT", "WALL", "CPU", "MEMORY", "BYTES"] as const;

/** Least columns of the texts, so that a narrow window shows something of both. */
const LEAST_TEXT = 12;
/** Blanks between columns. */
const GAP = 2;

/** Writes the cells of one step. */
export function summaryCells(step: SummarizedStep): readonly string[] {
  const { usage } = step;
  const bytes = step.transferredBytes > 0 ? step.transferredBytes : usage?.writtenBytes;
  return [
    printableLine(step.name),
    printableLine(outcomeText(step)),
    step.how === "not-run" || step.how === "cached" ? "" : formatSeconds(step.wallMs),
    usage === undefined ? "" : formatSeconds(usage.cpuMs),
    usage?.peakMemoryBytes === undefined ? "" : formatBytes(usage.peakMemoryBytes),
    bytes === undefined || bytes === 0 ? "" : formatBytes(bytes),
  ];
}

/** Columns that a narrow window does without, the first one first. */
const DISPENSABLE = ["MEMORY", "CPU", "BYTES"] as const;

/**
 * Writes the table of `--summary` for a window of this width. Numbers stay whole; names and reasons are cut, and where
 * there is no room for them some columns are left out.
 */
export function summaryTable(summary: BuildSummary, columns: number): readonly string[] {
  const rows = [[...SUMMARY_COLUMNS], ...summary.steps.filter(isTold).map(summaryCells), totalCells(summary)];
  const widths = SUMMARY_COLUMNS.map((_, column) => Math.max(...rows.map((row) => textWidth(row[column] ?? ""))));
  const kept = new Set<string>(SUMMARY_COLUMNS.slice(2));
  const roomOf = (): number =>
    SUMMARY_COLUMNS.reduce(
      (room, name, column) => (kept.has(name) ? room - GAP - (widths[column] ?? 0) : room),
      columns - GAP,
    );
  for (const name of DISPENSABLE) if (roomOf() < 2 * LEAST_TEXT) kept.delete(name);
  const room = roomOf();
  const [step = 0, why = 0] = widths;
  const stepWidth = Math.max(0, Math.min(step, room - Math.min(why, Math.floor(room / 2))));
  const whyWidth = Math.max(0, Math.min(why, room - stepWidth));
  return rows.map((cells) => {
    const texts = [pad(fit(cells[0] ?? "", stepWidth), stepWidth), pad(fit(cells[1] ?? "", whyWidth), whyWidth)];
    const numbers = SUMMARY_COLUMNS.flatMap((name, column) =>
      kept.has(name) ? [(cells[column] ?? "").padStart(widths[column] ?? 0)] : [],
    );
    return [...texts, ...numbers].join(" ".repeat(GAP)).trimEnd();
  });
}

/** Tells whether a step is a row: internal work that took no time is not. */
export function isTold({ kind, how, wallMs, transferredBytes }: SummarizedStep): boolean {
  return kind === "step" || how === "failed" || wallMs >= 100 || transferredBytes > 0;
}

/** Writes the cells of the last row: how many steps ran, and the sums. */
export function totalCells({ steps, wallMs }: BuildSummary): readonly string[] {
  const own = steps.filter(({ kind }) => kind === "step");
  const cached = own.filter(({ how }) => how === "cached").length;
  const usages = own.flatMap(({ usage }) => usage ?? []);
  const cpuMs = usages.reduce((sum, usage) => sum + usage.cpuMs, 0);
  const memory = Math.max(0, ...usages.map(({ peakMemoryBytes }) => peakMemoryBytes ?? 0));
  const transferred = steps.reduce((sum, step) => sum + step.transferredBytes, 0);
  const written = usages.reduce((sum, usage) => sum + (usage.writtenBytes ?? 0), 0);
  return [
    `${own.length} step${own.length === 1 ? "" : "s"}`,
    `${cached} cached`,
    formatSeconds(wallMs),
    usages.length === 0 ? "" : formatSeconds(cpuMs),
    memory === 0 ? "" : formatBytes(memory),
    transferred + written === 0 ? "" : formatBytes(transferred + written),
  ];
}

function outcomeText({ how, why, kind, transferredBytes }: SummarizedStep): string {
  switch (how) {
    case "cached":
      return "cached";
    case "ran":
      return why ?? (kind === "step" && transferredBytes > 0 ? "pulled" : "");
    case "failed":
      return why === undefined ? "FAILED" : `FAILED; ${why}`;
    case "cancelled":
      return "cancelled";
    case "not-run":
      return "not run";
    default:
      return how satisfies never;
  }
}
