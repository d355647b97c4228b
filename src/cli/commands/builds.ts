import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { printable, printableJson, printableLine } from "../../../lib/core/printable.ts";
import type { BuildReport, ReportedStep } from "../../engine/report.ts";
import { formatBytes } from "../../progress/step-book.ts";
import { buildFilter } from "../build-filters.ts";
import { logText, plainLog, workOf } from "../build-log.ts";
import {
  durationOf,
  findListedBuild,
  formatDuration,
  type ListedBuild,
  listBuilds,
  nameOfBuild,
  STATUS_WORDS,
  valuesOf,
} from "../build-records.ts";
import { type Cli, command, examples, textsIn } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { durationMs } from "../flags/duration.ts";
import { listFormat, templateOf } from "../flags/format.ts";
import { texts } from "../flags/texts.ts";
import { printListing, printText, type Row } from "../listing.ts";
import { writeResultFile } from "../result-files.ts";
import { ago, table } from "../table.ts";
import { structOf } from "../template/value.ts";

type Options = Readonly<Record<string, unknown>>;

/** Declares `kiln builds ls`: the builds that this store remembers. */
export function buildsLsCommand(program: Command, cli: Cli): void {
  command(program, cli, "builds-ls", list)
    .description("list the builds of this store, the last one first (builds ls)")
    .option(
      "--filter <key=value>",
      "ref, status, name, context, target, commit, duration, startedAt, completedAt",
      texts,
      [],
    )
    .option("--format <format>", "table, json (one object per line), or a Go template such as {{.Ref}}")
    .option("--local", "only builds of the working directory")
    .option("-n, --last <count>", "only the last ones")
    .option("-q, --quiet", "only ids")
    .option("--no-trunc", "whole names")
    .addHelpText(
      "after",
      examples([
        ["kiln builds ls", "what was built here"],
        ["kiln builds ls --filter status=error --filter 'startedAt>24h'", "what failed today"],
      ]),
    );
}

const TITLES = {
  ...{ ID: "BUILD ID", Ref: "REF", Name: "NAME", Status: "STATUS", CreatedAt: "CREATED AT", Duration: "DURATION" },
  ...{ Steps: "STEPS", TotalSteps: "TOTAL STEPS", CachedSteps: "CACHED STEPS", CompletedAt: "COMPLETED AT" },
  ...{ Context: "CONTEXT", Target: "TARGET", Tags: "TAGS", Error: "ERROR", ImageID: "IMAGE ID", Commit: "COMMIT" },
};

async function list(context: CommandContext, _args: readonly string[], options: Options): Promise<void> {
  const format = await listFormat(options["format"]);
  const nowMs = context.host.nowMs();
  const passes = buildFilter(textsIn(options, "filter"), nowMs);
  const here = context.host.workingDirectory;
  const last = countOf(options["last"], "--last") ?? Number.POSITIVE_INFINITY;
  await using engine = context.openEngine();
  const builds = listBuilds(engine.store)
    .filter((build) => options["local"] !== true || build.report.record?.directory === here)
    .filter(passes)
    .slice(0, last);
  if (options["quiet"] === true) {
    for (const { report } of builds) context.print(printableLine(report.id));
    return;
  }
  const isTable = format.kind === "table" || format.kind === "aligned";
  const isWhole = !isTable || options["trunc"] === false;
  const rows = builds.map((build) => rowOf(build, nowMs, { isWhole, isTable }));
  printListing(context, format, {
    rows,
    titles: TITLES,
    columns: ["ID", "Name", "Status", "Steps", "CreatedAt", "Duration"],
  });
}

function rowOf(
  build: ListedBuild,
  nowMs: number,
  { isWhole, isTable }: { readonly isWhole: boolean; readonly isTable: boolean },
): Row {
  const { report, status } = build;
  const { record, startedAtMs, error } = report;
  const name = nameOfBuild(report);
  const time = (timeMs: number): string => (isTable ? ago(timeMs, nowMs) : new Date(timeMs).toISOString());
  const [total, cached] = countSteps(report);
  return {
    ID: report.id,
    Ref: `kiln/kiln/${report.id}`,
    Name: isWhole || name.length <= 40 ? name : `${name.slice(0, 39)}…`,
    Status: STATUS_WORDS[status],
    CreatedAt: time(startedAtMs),
    CompletedAt: record?.durationMs === undefined ? "" : time(startedAtMs + record.durationMs),
    Duration: formatDuration(durationOf(build, nowMs)),
    Steps: total === 0 ? "" : `${total} (${cached} cached)`,
    TotalSteps: total,
    CachedSteps: cached,
    Context: report.context,
    Target: report.target ?? "",
    Tags: report.tags.join(","),
    Error: error === undefined ? "" : error.code,
    ImageID: record?.result?.imageId ?? "",
    Commit: record?.commit ?? "",
  };
}

function countSteps({ record, steps, total }: BuildReport): readonly [total: number, cached: number] {
  if (record?.steps !== undefined) return [record.steps.total, record.steps.cached];
  return [total, total - steps.filter(({ how }) => how === "ran").length];
}

function countOf(value: unknown, flag: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string" && /^\d{1,6}$/.test(value)) return Number(value);
  throw new BuildError("cli/usage", `Cannot use ${flag} ${JSON.stringify(value)}: it is a number`);
}

/** Declares `kiln builds show`: the facts about one build. */
export function buildsShowCommand(program: Command, cli: Cli): void {
  command(program, cli, "builds-show [build]", show)
    .description(
      "show a build and its steps: the last one, an id, a tag, or ^1 for the one before the last (builds show)",
    )
    .option("-f, --format <format>", "pretty, json, or a Go template such as {{.Record.Commit}}")
    .addHelpText(
      "after",
      examples([
        ["kiln builds show", "the last build"],
        ["kiln builds show ^1", "the one before it"],
      ]),
    );
}

async function show(context: CommandContext, args: readonly string[], options: Options): Promise<void> {
  const { format } = options;
  const isPretty = format === undefined || format === "pretty";
  const template = typeof format === "string" && !isPretty && format !== "json" ? await templateOf(format) : undefined;
  await using engine = context.openEngine();
  const build = findListedBuild(listBuilds(engine.store), args[0]);
  const document = { ...build.report, status: build.status, name: nameOfBuild(build.report) };
  if (template !== undefined) printText(context, template.render(structOf(document) ?? ""));
  else if (isPretty) for (const line of describe(build, context.host.nowMs())) context.print(printable(line));
  else context.print(printableJson(document, 2));
}

function describe(build: ListedBuild, nowMs: number): readonly string[] {
  const { report, status } = build;
  const { record, error } = report;
  const [total, cached] = countSteps(report);
  const line = (label: string, text: string | undefined): readonly string[] =>
    text === undefined || text === "" ? [] : [`${`${label}:`.padEnd(15)} ${text}`];
  const options = Object.entries(record?.options ?? {}).filter(([name]) => name !== "dockerfile");
  const steps = workOf(report).flatMap(({ step, endMs, startMs }) =>
    step === undefined ? [] : [stepRow(step, startMs, endMs)],
  );
  return [
    ...line("Name", nameOfBuild(report)),
    ...line("Build", report.id),
    ...line("Status", STATUS_WORDS[status]),
    ...line("Context", record?.directory ?? report.context),
    ...line("Dockerfile", record?.dockerfile),
    ...line("Target", report.target),
    ...line("Commit", record?.commit),
    ...line("Started", `${new Date(report.startedAtMs).toISOString().slice(0, 19).replace("T", " ")} UTC`),
    ...line("Duration", formatDuration(durationOf(build, nowMs))),
    ...line("Steps", total === 0 ? "" : `${total}, ${cached} of them cached`),
    ...line("Image", record?.result?.imageId),
    ...line("Manifest", record?.result?.manifest),
    ...line("Names", record?.result?.names.join(", ")),
    ...line("Warnings", record?.warnings === undefined || record.warnings === 0 ? "" : String(record.warnings)),
    ...line("Made by", record === undefined ? "" : `kiln ${record.versions.kiln}, Node ${record.versions.node}`),
    ...options.flatMap(([name, value]) =>
      valuesOf(value).flatMap((text, index) => line(index === 0 ? name : "", text)),
    ),
    ...(error === undefined ? [] : line("Error", `${error.message} (${error.code})`)),
    ...(steps.length === 0 ? [] : ["", ...table(["STEP", "HOW", "TIME", "CPU", "MEMORY", "LAYER"], steps)]),
  ];
}

function stepRow(step: ReportedStep, startMs: number, endMs: number | undefined): readonly string[] {
  const { name, state, how, usage, layerBytes, place } = step;
  const text = name.length <= 60 ? name : `${name.slice(0, 59)}…`;
  const taken = how === "ran" && endMs !== undefined ? formatDuration(endMs - startMs) : "";
  return [
    `${text}${place === undefined ? "" : ` (${place.file}:${place.line})`}`,
    state === "failed" || state === "cancelled" ? state : how === "ran" ? "ran" : "cached",
    taken,
    usage === undefined ? "" : `${(usage.cpuMs / 1000).toFixed(2)}s`,
    usage?.peakMemoryBytes === undefined ? "" : formatBytes(usage.peakMemoryBytes),
    layerBytes === undefined ? "" : formatBytes(layerBytes),
  ];
}

/** Declares `kiln builds logs`: what a build printed. */
export function buildsLogsCommand(program: Command, cli: Cli): void {
  command(program, cli, "builds-logs [build] [step]", logs)
    .description("print the log of a build, or of one of its steps as it was printed (builds logs)")
    .option("--progress <mode>", "plain (the default), or rawjson: one object per step and piece of output", "plain")
    .addHelpText(
      "after",
      examples([
        ["kiln builds logs", "the last build"],
        ["kiln builds logs ^1 'RUN make'", "one step of the build before"],
      ]),
    );
}

async function logs(context: CommandContext, args: readonly string[], options: Options): Promise<void> {
  const { progress } = options;
  if (progress !== "plain" && progress !== "rawjson" && progress !== "tty") {
    throw new BuildError("cli/usage", `Cannot use --progress ${JSON.stringify(progress)}`, {
      hint: "it is plain or rawjson",
    });
  }
  await using engine = context.openEngine();
  const { report } = findListedBuild(listBuilds(engine.store), args[0]);
  const { store } = engine;
  const [, wanted] = args;
  if (wanted !== undefined) {
    const steps = report.steps.filter(
      ({ name, instruction, log }) => log !== undefined && `${name} ${instruction}`.includes(wanted),
    );
    if (steps.length === 0) {
      throw new BuildError("cli/usage", `Cannot find a step ${printableJson(wanted)} with a log in this build`, {
        hint: "give a piece of its text; kiln builds show lists the steps, and cached steps print nothing",
      });
    }
    const isTerminal = context.host.stdout.isTTY === true;
    for (const { log = "" } of steps) {
      for await (const text of logText(store, log, context.signal)) {
        await written(context, isTerminal ? printable(text) : text);
      }
    }
    return;
  }
  if (progress === "rawjson") {
    for (const { step, ...work } of workOf(report)) {
      await written(context, `${printableJson({ ...work, why: step?.why, usage: step?.usage })}\n`);
      if (step?.log === undefined) continue;
      for await (const data of logText(store, step.log, context.signal)) {
        await written(context, `${printableJson({ name: work.name, log: data })}\n`);
      }
    }
    return;
  }
  const colours = context.host.stdout.isTTY === true && !context.host.env["NO_COLOR"];
  for await (const line of plainLog(report, store, colours, context.signal)) await written(context, `${line}\n`);
}

/** Writes a text, and waits while the reader is slow: a log may be larger than memory. */
async function written({ host }: CommandContext, text: string): Promise<void> {
  if (host.stdout.write(text)) return;
  const { stdout } = host;
  await new Promise<void>((resolve) => {
    const go = (): void => {
      for (const event of ["drain", "close", "error"]) stdout.off(event, go);
      resolve();
    };
    for (const event of ["drain", "close", "error"]) stdout.once(event, go);
  });
}

/** Declares `kiln builds rm`: forgets builds. */
export function buildsRmCommand(program: Command, cli: Cli): void {
  command(program, cli, "builds-rm [build...]", remove)
    .description("forget builds; images and cache stay (builds rm)")
    .option("-a, --all", "all builds")
    .option("--keep <count>", "all but the last ones")
    .option("--older-than <time>", "those that ended before, such as 24h")
    .addHelpText(
      "after",
      examples([["kiln builds rm --keep 10 --older-than 24h", "what is old, but not the last ten"]]),
    );
}

async function remove(context: CommandContext, args: readonly string[], options: Options): Promise<void> {
  const keep = countOf(options["keep"], "--keep");
  const { olderThan } = options;
  const isBulk = options["all"] === true || keep !== undefined || olderThan !== undefined;
  if (isBulk === args.length > 0) {
    throw new BuildError(
      "cli/usage",
      isBulk ? "Cannot forget both all builds and named ones" : "Cannot forget a build: none is named",
      {
        hint: "write kiln builds rm ID, or --all, --keep COUNT, --older-than TIME",
      },
    );
  }
  await using engine = context.openEngine();
  const { builds } = engine.store;
  const all = listBuilds(engine.store);
  const running = (build: ListedBuild): boolean => build.status === "running";
  if (isBulk) {
    const before =
      typeof olderThan === "string" ? context.host.nowMs() - durationMs(olderThan, "--older-than") : Infinity;
    const old = all
      .filter((build) => !running(build))
      .slice(keep ?? 0)
      .filter(({ report }) => report.startedAtMs + (report.record?.durationMs ?? 0) < before)
      .map(({ report }) => report.id);
    builds.remove(old);
    // Also reports that this kiln cannot read.
    if (options["all"] === true) builds.forget({ keep: 0, beforeMs: Number.MAX_SAFE_INTEGER });
    for (const id of old) context.print(printableLine(id));
    return;
  }
  const chosen = args.map((word) => findListedBuild(all, word));
  const busy = chosen.find(running);
  if (busy !== undefined)
    throw new BuildError("cli/usage", `Cannot forget ${busy.report.id}: it runs`, { hint: "end it first" });
  builds.remove(chosen.map(({ report }) => report.id));
  for (const { report } of chosen) context.print(printableLine(report.id));
}

/** Declares `kiln builds trace`: a build as a trace file. */
export function buildsTraceCommand(program: Command, cli: Cli): void {
  command(program, cli, "builds-trace [build]", trace)
    .description("write what took how long to a file that browsers' tracing pages open (builds trace)")
    .option("-o, --output <path>", "the file; standard output unless given");
}

async function trace(context: CommandContext, args: readonly string[], options: Options): Promise<void> {
  const { chromeTrace } = await import("../chrome-trace.ts");
  await using engine = context.openEngine();
  const { report } = findListedBuild(listBuilds(engine.store), args[0]);
  const work = workOf(report).filter(({ startMs }) => Number.isFinite(startMs));
  const spans = work.map(({ name, startMs, endMs, state, step }) => ({
    group: step === undefined ? "engine" : "steps",
    name: printableLine(name),
    ...{ startMs, endMs },
    details: { result: state, ...(step?.why === undefined ? {} : { reason: step.why }) },
  }));
  const lastMs = Math.max(0, report.record?.durationMs ?? 0, ...work.map(({ endMs }) => endMs ?? 0));
  const text = chromeTrace(spans, { startMs: 0, endMs: lastMs, groups: ["engine", "steps"] });
  if (typeof options["output"] === "string") await writeResultFile(context, "--output", options["output"], text);
  else context.host.stdout.write(text);
}

/** Declares `kiln builds export`: records and logs as one JSON document. */
export function buildsExportCommand(program: Command, cli: Cli): void {
  command(program, cli, "builds-export [build...]", exportBuilds)
    .description("write builds with their logs as JSON: the last one, or those named (builds export)")
    .option("-o, --output <path>", "the file; standard output unless given")
    .option("-a, --all", "all builds");
}

/** Limit of each log in an export, in characters. */
const MAX_LOG = 16 << 20;

async function exportBuilds(context: CommandContext, args: readonly string[], options: Options): Promise<void> {
  await using engine = context.openEngine();
  const all = listBuilds(engine.store);
  const chosen =
    options["all"] === true ? all : (args.length === 0 ? [""] : args).map((word) => findListedBuild(all, word));
  const builds = [];
  for (const { report, status } of chosen) {
    const byName: Record<string, string> = {};
    for (const { log } of report.steps) if (log !== undefined) byName[log] = await cutLog(context, engine.store, log);
    builds.push({ ...report, status, logs: byName });
  }
  const text = `${printableJson({ version: 1, builds })}\n`;
  if (typeof options["output"] === "string") await writeResultFile(context, "--output", options["output"], text);
  else context.host.stdout.write(text);
}

async function cutLog({ signal }: CommandContext, store: Parameters<typeof logText>[0], log: string): Promise<string> {
  let text = "";
  for await (const piece of logText(store, log, signal)) {
    text += piece;
    if (text.length > MAX_LOG) return `${text.slice(0, MAX_LOG)}\n[cut here]\n`;
  }
  return text;
}
