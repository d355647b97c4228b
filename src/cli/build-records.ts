import { basename, isAbsolute } from "node:path";
import { BuildError } from "../../lib/core/errors.ts";
import { printableJson } from "../../lib/core/printable.ts";
import { formatReference, parseReference } from "../../lib/core/reference.ts";
import type { Store } from "../../lib/store/store.ts";
import { parseReport } from "../engine/report-shape.ts";
import type { BuildReport } from "../engine/report.ts";
import { formatSeconds } from "../progress/step-book.ts";

/** A build as the history shows it. */
export interface ListedBuild {
  readonly report: BuildReport;
  readonly status: "completed" | "failed" | "cancelled" | "interrupted" | "running";
}

/** buildx's words for the states that it knows. */
export const STATUS_WORDS: Readonly<Record<ListedBuild["status"], string>> = {
  completed: "Completed",
  failed: "Error",
  cancelled: "Canceled",
  interrupted: "Interrupted",
  running: "Running",
};

/** Lists all builds that this kiln can read: first those without an end, then the others, newest first. */
export function listBuilds({ builds }: Pick<Store, "builds">): readonly ListedBuild[] {
  // Notes first: a build that ends in between is then in both, and not in neither.
  const noted = builds.unfinished();
  const ended = [...builds.list()].flatMap((kept): ListedBuild[] => {
    const report = parseReport(kept);
    return report === undefined ? [] : [{ report, status: statusOf(report) }];
  });
  const known = new Set(ended.map(({ report }) => report.id));
  const others = noted.flatMap(({ id, state, report }): ListedBuild[] => {
    const parsed = known.has(id) ? undefined : parseReport(report);
    return parsed === undefined ? [] : [{ report: parsed, status: state }];
  });
  const isRunning = ({ status }: ListedBuild): boolean => status === "running";
  const newest = (a: ListedBuild, b: ListedBuild): number => b.report.startedAtMs - a.report.startedAtMs;
  const interrupted = others.filter((one) => !isRunning(one)).toSorted(newest);
  return [...others.filter(isRunning).toSorted(newest), ...merged(ended, interrupted)];
}

/** Puts interrupted builds between the others by their beginning, and leaves the others in their order. */
function merged(ended: readonly ListedBuild[], interrupted: readonly ListedBuild[]): readonly ListedBuild[] {
  const all = [...ended];
  for (const build of interrupted) {
    const place = all.findIndex(({ report }) => report.startedAtMs < build.report.startedAtMs);
    all.splice(place === -1 ? all.length : place, 0, build);
  }
  return all;
}

function statusOf({ record, error }: BuildReport): ListedBuild["status"] {
  if (record !== undefined) return record.status;
  if (error === undefined) return "completed";
  return error.code === "build/cancelled" ? "cancelled" : "failed";
}

/**
 * Finds a build by what a user typed: an id or its unique beginning, the whole name that --metadata-file has, `^N` for
 * the Nth before the last one, or a tag, which means the last build with it. Without a word it is the last build.
 * @throws {BuildError} `cli/usage`
 */
export function findListedBuild(all: readonly ListedBuild[], word = ""): ListedBuild {
  const back = /^\^(\d*)$/.exec(word);
  if (word === "" || back !== null) {
    const found = all[word === "" ? 0 : Number(back?.[1] || 1)];
    if (found !== undefined) return found;
    throw new BuildError("cli/usage", `Cannot find ${word === "" ? "a build" : `the build ${word}`}`, {
      hint:
        all.length === 0
          ? "this store knows of no build: run kiln build first, with the same --root"
          : `this store knows of ${all.length} build${all.length === 1 ? "" : "s"}; kiln builds ls lists them`,
    });
  }
  const id = word.replace(/^.*\//, "");
  const exact = all.find(({ report }) => report.id === id) ?? all.find(({ report }) => isTagged(report, word));
  if (exact !== undefined) return exact;
  const begins = all.filter(({ report }) => report.id.startsWith(id));
  const [only] = begins;
  if (only !== undefined && begins.length === 1) return only;
  throw new BuildError("cli/usage", `Cannot find a build named ${printableJson(word)}`, {
    hint:
      begins.length > 1
        ? `${begins.length} ids begin like that: give more of it`
        : "give an id that kiln builds ls shows, a tag that it was built with, or ^1 for the one before the last",
  });
}

function isTagged({ tags }: BuildReport, word: string): boolean {
  if (tags.includes(word)) return true;
  const full = (text: string): string | undefined => {
    try {
      return formatReference(parseReference(text));
    } catch {
      return undefined; // a word that is no name of an image
    }
  };
  const name = full(word);
  return name !== undefined && tags.some((tag) => full(tag) === name);
}

/** Names a build for people: by its tag, or by its context and target. */
export function nameOfBuild({ tags, context, target, record }: BuildReport): string {
  const own = valuesOf(record?.options["buildArgs"]).find((text) => text.startsWith("BUILDKIT_BUILD_NAME="));
  if (own !== undefined) return own.slice("BUILDKIT_BUILD_NAME=".length);
  const directory = record?.directory ?? (isAbsolute(context) ? context : undefined);
  const place = directory === undefined ? context : basename(directory) || "/";
  const [tag] = tags;
  return `${tag ?? place}${target === undefined ? "" : ` (${target})`}`;
}

export function valuesOf(option: string | readonly string[] | undefined): readonly string[] {
  return typeof option === "string" ? [option] : (option ?? []);
}

/** Formats `1.2s`, `3m 5s`, `1h 2m 3s`; empty when unknown. */
export function formatDuration(milliseconds: number | undefined): string {
  if (milliseconds === undefined) return "";
  if (milliseconds < 60_000) return formatSeconds(milliseconds);
  const seconds = Math.round(milliseconds / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return `${hours > 0 ? `${hours}h ` : ""}${minutes}m ${seconds % 60}s`;
}

/** Tells how long a build took, or has taken so far. */
export function durationOf({ report, status }: ListedBuild, nowMs: number): number | undefined {
  if (status === "running") return Math.max(0, nowMs - report.startedAtMs);
  return report.record?.durationMs;
}

/** Finds the build before another one: of the same context, Dockerfile and target, or with a common tag. */
export function buildBefore(all: readonly ListedBuild[], build: ListedBuild): ListedBuild | undefined {
  const place = all.indexOf(build);
  return all.slice(place + 1).find((one) => one.report.steps.length > 0 && isSameProject(one.report, build.report));
}

function isSameProject(a: BuildReport, b: BuildReport): boolean {
  if (a.target !== b.target) return false;
  const directory = ({ record }: BuildReport): string | undefined => record?.directory;
  const same =
    directory(a) === directory(b) && a.context === b.context && a.record?.dockerfile === b.record?.dockerfile;
  return same || a.tags.some((tag) => b.tags.includes(tag));
}
