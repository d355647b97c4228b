import { printable, printableLine } from "../../lib/core/printable.ts";
import type { BuildReport, ReportedStep } from "../engine/report.ts";
import { criticalPath } from "./critical-path.ts";
import type {
  PageBefore,
  PageBuild,
  PageData,
  PageFiles,
  PageLayer,
  PageLog,
  PageStep,
  PageStepBefore,
} from "./data.ts";

/** One build as its page shows it, with what the store still has of it. */
export interface PageSource {
  readonly report: BuildReport;
  readonly status: PageBuild["status"];
  readonly name: string;
  readonly before: BuildReport | undefined;
  /** Lines that say what differs for a step that ran. */
  readonly changesOf: (step: ReportedStep) => readonly string[];
  /** Logs by name. */
  readonly logs: ReadonlyMap<string, PageLog>;
  /** Files by snapshot. */
  readonly files: ReadonlyMap<string, PageFiles>;
  readonly trees: ReadonlyMap<string, NonNullable<PageLayer["tree"]>>;
}

/** Limit of a name, in UTF-16 code units: a here-document is an instruction too. */
const MAX_NAME = 300;
const MAX_CHANGES = 100;
/** Limit of steps; a build of ten thousand instructions is no reading for a browser. */
const MAX_STEPS = 2000;

/** Makes the data of a build's page. */
export function pageData(source: PageSource): PageData {
  const { report, before } = source;
  const steps = pageSteps(source);
  return {
    build: buildOf(source),
    steps,
    layers: layersOf(source),
    before: before === undefined ? undefined : beforeOf(before, report),
  };
}

/** Makes a text short, one line, and safe to show. */
function shownName(text: string): string {
  const line = printableLine(text);
  return line.length <= MAX_NAME ? line : `${line.slice(0, MAX_NAME)}…`;
}

function buildOf({ report, status, name }: PageSource): PageBuild {
  const { id, startedAtMs, error, record, total, steps } = report;
  const uncached = steps.filter(({ how }) => how === "ran").length;
  return {
    id: printableLine(id),
    name: shownName(name),
    status,
    startedAtMs,
    durationMs: record?.durationMs,
    error: error === undefined ? undefined : { code: error.code, message: printable(error.message).slice(0, 20_000) },
    facts: factsOf(report),
    total: record?.steps?.total ?? total,
    cached: record?.steps?.cached ?? total - uncached,
    version: record?.versions.kiln ?? "",
  };
}

const OPTION_NAMES: Readonly<Record<string, string>> = {
  ...{ buildArgs: "Build arguments", cacheFrom: "Cache from", cacheTo: "Cache to", contexts: "Named contexts" },
  ...{ noCache: "Without cache", ssh: "SSH agents", sbom: "SBOM" },
};

function factsOf({ context, target, tags, record }: BuildReport): PageBuild["facts"] {
  const facts: [string, readonly (string | undefined)[]][] = [
    ["Context", [record?.directory ?? context]],
    ["Dockerfile", [record?.dockerfile]],
    ["Target", [target]],
    ["Commit", [record?.commit]],
    ["Tags", tags],
    ["Names", record?.result?.names ?? []],
    ["Image id", [record?.result?.imageId]],
    ["Manifest", [record?.result?.manifest]],
    ["Warnings", [record?.warnings === undefined ? undefined : String(record.warnings)]],
  ];
  for (const [name, value] of Object.entries(record?.options ?? {})) {
    if (name === "dockerfile") continue;
    const known = Object.hasOwn(OPTION_NAMES, name) ? OPTION_NAMES[name] : undefined;
    facts.push([
      known ?? name.replace(/^./, (letter) => letter.toUpperCase()),
      typeof value === "string" ? [value] : value,
    ]);
  }
  if (record !== undefined) facts.push(["Made by", [`kiln ${record.versions.kiln}, Node ${record.versions.node}`]]);
  return facts.flatMap(([name, values]) => {
    const shown = values.flatMap((value) => (value === undefined || value === "" ? [] : [printableLine(value)]));
    return shown.length === 0 ? [] : [[printableLine(name), shown] as const];
  });
}

function pageSteps(source: PageSource): readonly PageStep[] {
  const { report, before } = source;
  const earlier = before === undefined ? undefined : stepsByPlace(before.steps);
  const counts = new Map<string, number>();
  const own = report.steps.map((step) => {
    const key = keyOf(step, counts);
    return { step, before: earlier?.get(key) };
  });
  const isShown = ({ step }: (typeof own)[number]): boolean => step.startMs !== undefined || step.how === "ran";
  const all = [
    ...own.flatMap((one, index) =>
      isShown(one) ? [{ ...one, index, startMs: one.step.startMs ?? Infinity, work: undefined }] : [],
    ),
    ...(report.record?.work ?? []).map((work) => ({
      step: undefined,
      before: undefined,
      index: -1,
      startMs: work.startMs,
      work,
    })),
  ]
    .toSorted((a, b) => a.startMs - b.startMs)
    .slice(0, MAX_STEPS);
  const places = new Map(all.flatMap(({ index }, place) => (index === -1 ? [] : [[index, place] as const])));
  const needs = all.map(({ step }) => (step?.needs ?? []).flatMap((index) => places.get(index) ?? []));
  const critical = new Set(
    criticalPath(
      all.map(({ step, work }, place) => ({
        startMs: (step ?? work)?.startMs,
        endMs: (step ?? work)?.endMs,
        needs: needs[place] ?? [],
        isApart: step === undefined,
      })),
    ),
  );
  return all.map(({ step, before: then, work }, place): PageStep => {
    const isCritical = critical.has(place);
    if (step !== undefined) return pageStep(step, { isCritical, needs: needs[place] ?? [], before: then }, source);
    return {
      ...NOTHING,
      name: shownName(work?.name ?? ""),
      how: "work",
      state: work?.state ?? "done",
      startMs: work?.startMs,
      endMs: work?.endMs,
      isCritical,
    };
  });
}

const NOTHING = {
  ...{ stage: undefined, place: undefined, needs: [], why: undefined, changes: [], cpuMs: undefined },
  ...{ memoryBytes: undefined, readBytes: undefined, writtenBytes: undefined, layerBytes: undefined },
  ...{ files: undefined, log: undefined, before: undefined },
};

function pageStep(
  step: ReportedStep,
  more: Pick<PageStep, "isCritical" | "needs"> & { readonly before: ReportedStep | undefined },
  { files, logs, changesOf }: PageSource,
): PageStep {
  const { usage, place, layer, log } = step;
  const why = step.how === "ran" ? reasonOf(step) : undefined;
  return {
    ...more,
    name: shownName(step.name),
    how: step.how,
    state: step.state ?? (step.how === "ran" ? "done" : "cached"),
    stage: step.stage,
    place: place === undefined ? undefined : printableLine(`${place.file}:${place.line}`),
    startMs: step.startMs,
    endMs: step.endMs,
    why,
    changes: changesOf(step)
      .slice(0, MAX_CHANGES)
      .map((line) => shownName(line.trim())),
    cpuMs: usage?.cpuMs,
    memoryBytes: usage?.peakMemoryBytes,
    readBytes: usage?.readBytes,
    writtenBytes: usage?.writtenBytes,
    layerBytes: step.layerBytes,
    files: layer === undefined || step.how !== "ran" ? undefined : files.get(layer),
    log: log === undefined ? undefined : logs.get(log),
    before: more.before === undefined ? undefined : stepBefore(more.before),
  };
}

/** Returns the reason alone: the step's name stands above it. */
function reasonOf({ why, instruction }: ReportedStep): string | undefined {
  if (why === undefined) return undefined;
  const suffix = `: ${instruction}`;
  return shownName(why.endsWith(suffix) ? why.slice(0, -suffix.length) : why);
}

function stepBefore({ how, startMs, endMs, layerBytes }: ReportedStep): PageStepBefore {
  const durationMs = startMs === undefined || endMs === undefined ? undefined : endMs - startMs;
  return { how, durationMs, layerBytes };
}

/** Names a step for comparison: its stage, its instruction, and which of equal ones it is. */
function keyOf({ stage, instruction }: ReportedStep, counts: Map<string, number>): string {
  const key = `${stage ?? ""}\n${instruction}`;
  const count = (counts.get(key) ?? 0) + 1;
  counts.set(key, count);
  return `${key}\n${count}`;
}

function stepsByPlace(steps: readonly ReportedStep[]): ReadonlyMap<string, ReportedStep> {
  const counts = new Map<string, number>();
  return new Map(steps.map((step) => [keyOf(step, counts), step]));
}

function beforeOf(before: BuildReport, report: BuildReport): PageBefore {
  const { id, startedAtMs, record, total, steps } = before;
  const now = stepsByPlace(report.steps);
  // Builds of very many steps list only those that ran.
  const isWhole = report.steps.length === report.total;
  const gone = isWhole
    ? [...stepsByPlace(steps)].flatMap(([key, { name }]) => (now.has(key) ? [] : [shownName(name)]))
    : [];
  const layers = record?.result?.layers;
  const uncached = steps.filter(({ how }) => how === "ran").length;
  return {
    id: printableLine(id),
    startedAtMs,
    durationMs: record?.durationMs,
    imageBytes: layers === undefined ? undefined : layers.reduce((sum, { bytes = 0 }) => sum + bytes, 0),
    total: record?.steps?.total ?? total,
    cached: record?.steps?.cached ?? total - uncached,
    gone: gone.slice(0, MAX_CHANGES),
  };
}

function layersOf({ report, trees }: PageSource): readonly PageLayer[] {
  const makers = new Map(
    report.steps.flatMap((step) => (step.layer === undefined ? [] : [[step.layer, step] as const])),
  );
  return (report.record?.result?.layers ?? []).map(({ id, bytes }): PageLayer => {
    const step = makers.get(id);
    const tree = trees.get(id);
    const isBase = id.startsWith("layer-");
    const title = step?.instruction ?? (isBase ? "base image" : "a step of the cache");
    return { title: shownName(title), bytes: bytes ?? tree?.bytes, isBase: step === undefined && isBase, tree };
  });
}
