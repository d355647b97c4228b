/**
 * Times whole commands, kiln next to docker's BuildKit, buildah and skopeo where they answer, in turns in one run on the
 * same contexts. Prints one line per piece of work, writes all numbers to bench/results/DATE.json, and with `--pages`
 * draws the table into the pages that show it.
 *
 *     npm run bench [-- [--pages] NAME...]    all, or those with a name that contains a word
 *     KILN_BENCH_REGISTRY=localhost:5000      a registry that holds busybox:latest and that all builders reach over HTTP
 *     KILN_BENCH_DOCKER, KILN_BENCH_BUILDAH, KILN_BENCH_SKOPEO   the programs, when they are not on PATH
 *     KILN_BENCH_RUNS=5                       timed runs of each
 *     DOCKER_HOST                             the engine that kiln loads into, when it is not docker's usual socket
 *
 * Data: builders (programs that answer) x work (cases and transfers) -> samples -> one Row per work -> table and file.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Builder, buildCommand, findBuilders } from "./builders.ts";
import { CASES, type Case } from "./cases.ts";
import { measure, type Measured } from "./measure.ts";
import { drawIntoPages, machine, type Report, type Row, saveReport, summaryOf, tableOf } from "./report.ts";
import { type Transfer, TRANSFERS } from "./transfers.ts";

/** One piece of work as a loop sees it: what to do before each round, and what to time. */
interface Work {
  readonly name: string;
  readonly budget: string;
  readonly runs: number;
  readonly onlyByName: boolean;
  prepare(): void;
  /** Returns undefined when the builder does not do this work. Whatever must happen first, untimed, has happened. */
  command(builder: Builder, round: number): readonly string[] | undefined;
  /** Is called once before the builders' turns of a round. */
  change(round: number): void;
  cleanUp(): void;
}

const defaultRuns = Number(process.env["KILN_BENCH_RUNS"] ?? 5);
const folder = mkdtempSync(join(tmpdir(), "kiln-bench-"));

function workOfCase(each: Case): Work {
  const directory = join(folder, each.name.replaceAll(/[^a-z0-9]+/gi, "-"));
  return {
    name: each.name,
    budget: each.budget,
    runs: each.runs ?? defaultRuns,
    onlyByName: each.onlyByName === true,
    prepare() {
      mkdirSync(directory, { recursive: true });
      each.write(directory, (path, data) => {
        mkdirSync(join(directory, path, ".."), { recursive: true });
        writeFileSync(join(directory, path), data);
      });
    },
    change: (round) => each.change?.(directory, round),
    command: (builder) =>
      each.alone === true && builder.name !== "kiln"
        ? undefined
        : buildCommand(builder, directory, join(folder, "store"), each),
    cleanUp: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function workOfTransfer(each: Transfer, kiln: Builder): Work {
  return {
    name: each.name,
    budget: each.budget,
    runs: each.runs,
    onlyByName: false,
    prepare: () => each.prepare(kiln, folder),
    change: () => {},
    command(builder, round) {
      const command = each.commands[builder.name];
      if (command === undefined) return undefined;
      each.reset?.(builder, folder, round);
      return command(builder, folder, round);
    },
    cleanUp: () => {},
  };
}

/**
 * Lets the builders take turns. The first round warms all caches (page cache, base image) and does not count. A builder
 * whose command fails is named with the error, and has no numbers in this row.
 */
function run(work: Work, builders: readonly Builder[]): Row {
  work.prepare();
  const samples = new Map<Builder, Measured[]>();
  const failed = new Set<Builder>();
  for (let round = 0; round <= work.runs; round += 1) {
    work.change(round);
    for (const builder of builders) {
      const command = work.command(builder, round);
      if (command === undefined || failed.has(builder)) continue;
      try {
        const measured = measure(builder, command);
        if (round > 0) samples.set(builder, [...(samples.get(builder) ?? []), measured]);
      } catch (error) {
        failed.add(builder);
        samples.delete(builder);
        console.error(`${work.name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  work.cleanUp();
  return summaryOf(
    work,
    [...samples].map(([{ name }, measured]) => ({ name, measured })),
  );
}

/** Returns whether a piece of work is to be timed: all but the longest, or what a word of the command line names. */
function isWanted({ name, onlyByName }: Work): boolean {
  return words.length === 0 ? !onlyByName : words.some((word) => name.includes(word));
}

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const intoPages = process.argv.includes("--pages");
const { builders, missing } = findBuilders();
for (const sentence of missing) console.error(sentence);
const kiln = builders.find(({ name }) => name === "kiln");
if (kiln === undefined) throw new Error("kiln has to be built first: npm run build");
const rows: Row[] = [];
try {
  const all = [...CASES.map(workOfCase), ...TRANSFERS.map((each) => workOfTransfer(each, kiln))];
  for (const work of all.filter(isWanted)) {
    const row = run(work, builders);
    rows.push(row);
    console.log(
      tableOf([row])
        .split("\n")
        .slice(rows.length === 1 ? 0 : 2)
        .join("\n"),
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const report: Report = { machine: machine(), versions: builders.map(({ name, version }) => ({ name, version })), rows };
console.log(`\nwritten to ${saveReport(report)}`);
if (intoPages) for (const page of drawIntoPages(report)) console.log(`drawn into ${page}`);
