import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import type { BuilderName } from "./builders.ts";
import type { Measured } from "./measure.ts";

/** The medians of one builder's runs of one piece of work. */
export interface Cell {
  readonly builder: BuilderName;
  readonly wallMs: number;
  readonly shortestMs: number;
  readonly cpuMs: number;
  readonly peakBytes: number | undefined;
}

export interface Row {
  readonly name: string;
  readonly budget: string;
  readonly runs: number;
  readonly cells: readonly Cell[];
}

/** Results of one run of the benchmark: the contents of bench/results/DATE.json. */
export interface Report {
  readonly machine: {
    readonly date: string;
    readonly processor: string;
    readonly processors: number;
    readonly memoryBytes: number;
    readonly kernel: string;
    /** The load of the machine before the first command, which is not part of it. */
    readonly load: number;
  };
  readonly versions: readonly { readonly name: BuilderName; readonly version: string }[];
  readonly rows: readonly Row[];
}

const home = join(import.meta.dirname, "..");
const COLUMNS: readonly BuilderName[] = ["kiln", "buildkit", "buildah", "skopeo"];
/** Pages with the lines `<!-- bench -->` and `<!-- /bench -->`, between which the table is drawn. */
const PAGES = ["README.md", "bench/README.md"];

export function machine(): Report["machine"] {
  const [first] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    processor: first?.model ?? "unknown",
    processors: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    load: Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]),
  };
}

export function summaryOf(
  work: { readonly name: string; readonly budget: string; readonly runs: number },
  samples: readonly { readonly name: BuilderName; readonly measured: readonly Measured[] }[],
): Row {
  const cells = samples.map(({ name, measured }) => {
    const peaks = measured.flatMap(({ peakBytes }) => (peakBytes === undefined ? [] : [peakBytes]));
    return {
      builder: name,
      wallMs: median(measured.map(({ wallMs }) => wallMs)),
      shortestMs: Math.min(...measured.map(({ wallMs }) => wallMs)),
      cpuMs: median(measured.map(({ cpuMs }) => cpuMs)),
      peakBytes: peaks.length === 0 ? undefined : Math.max(...peaks),
    };
  });
  return { name: work.name, budget: work.budget, runs: work.runs, cells };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Returns the rows as a table in Markdown: wall time, processor time, largest process, and the ratio to the best peer. */
export function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ name, budget, cells }) => {
    const columns = COLUMNS.map((column) => textOf(cells.find(({ builder }) => builder === column)));
    return `| ${[name, ...columns, ratioOf(cells), budget].join(" | ")} |`;
  });
  return [
    `| work | ${COLUMNS.join(" | ")} | ratio | budget |`,
    `|${" --- |".repeat(COLUMNS.length + 3)}`,
    ...lines,
  ].join("\n");
}

function textOf(cell: Cell | undefined): string {
  if (cell === undefined) return "-";
  const peak = cell.peakBytes === undefined ? "" : `, ${Math.round(cell.peakBytes / 1e6)} MB`;
  return `${Math.round(cell.wallMs)} ms (cpu ${Math.round(cell.cpuMs)} ms${peak})`;
}

/** Returns kiln's wall time divided by that of the fastest other builder. */
function ratioOf(cells: readonly Cell[]): string {
  const own = cells.find(({ builder }) => builder === "kiln");
  const others = cells.filter(({ builder }) => builder !== "kiln").map(({ wallMs }) => wallMs);
  return own === undefined || others.length === 0 ? "-" : (own.wallMs / Math.min(...others)).toFixed(2);
}

/** Writes the report beside those of other days and returns its path. */
export function saveReport(report: Report): string {
  const file = join(home, "bench/results", `${report.machine.date}.json`);
  mkdirSync(join(home, "bench/results"), { recursive: true });
  writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`);
  return file;
}

/** Draws the table into each page that has a place for it, and returns the names of these pages. */
export function drawIntoPages(report: Report): readonly string[] {
  return PAGES.filter((page) => {
    const text = readFileSync(join(home, page), "utf8");
    const drawn = drawInto(text, report);
    if (drawn === undefined) return false;
    writeFileSync(join(home, page), drawn);
    return true;
  });
}

/** Replaces what is between the marks; undefined when the text has no marks. */
export function drawInto(text: string, report: Report): string | undefined {
  const place = /(<!-- bench -->\n)[\s\S]*?(<!-- \/bench -->)/;
  if (!place.test(text)) return undefined;
  const { date, processor, processors, kernel } = report.machine;
  const versions = report.versions.map(({ name, version }) => `${name}: ${version}`).join("; ");
  const caption = `${date}, ${processors} x ${processor}, Linux ${kernel}. ${versions}. Medians; the builders took turns.`;
  return text.replace(
    place,
    (_all, begin: string, end: string) => `${begin}${caption}\n\n${tableOf(report.rows)}\n${end}`,
  );
}
