/**
 * Gives hundreds of small Dockerfiles to kiln and to `docker buildx build` and prints every difference: in success or
 * failure, in the place and the names of an error, in the image configuration with its history, in the files, and in
 * the answers to `--call=check`, `outline` and `targets`. Exits with status 1 when any difference is not intended.
 *
 *     npm run differential:cases [-- WORD...]           all, or those with a name that contains a word
 *     npm run differential:cases -- --errors [WORD...]  also prints both messages where both fail
 *     npm run differential:cases -- --answers FILE      keeps BuildKit's answers and asks again only for new cases
 *     npm run differential:cases -- --folder FOLDER     other cases: FOLDER holds *.txt and the shared context
 *     KILN_BENCH_REGISTRY, KILN_BENCH_DOCKER            as for differential.ts
 *
 * The cases are in testdata/one-file, by topic; `differential/cases.ts` describes their format. All are built with one
 * context, testdata/one-file/context. Its setup.sh makes files that git cannot hold.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mapLimit } from "../lib/core/limits.ts";
import { Answers } from "./differential/answers.ts";
import { type Calls, METHODS, type Placed, bakeCalls, flagsOf, kilnCalls, placed } from "./differential/asked.ts";
import { type Builder, buildkit, emptied, kiln, listing, run } from "./differential/builders.ts";
import { type Case, parseCases } from "./differential/cases.ts";
import { callLines, configLines, differences, fileLines } from "./differential/compare.ts";
import { buildkitFailure, failureDifferences, kilnFailure } from "./differential/errors.ts";

const home = join(import.meta.dirname, "..");
const registry = process.env["KILN_BENCH_REGISTRY"] ?? "localhost:5000";
const docker = process.env["KILN_BENCH_DOCKER"] ?? "docker";
const { words, options } = commandLine(process.argv.slice(2));
const folder = options.get("--folder") ?? join(home, "testdata/one-file");
const work = mkdtempSync(join(tmpdir(), "kiln-cases-"));
const mine = kiln(home, join(work, "store"));
const theirs = buildkit(docker, registry);
const signal = new AbortController().signal;

/** The result of one case from one builder. */
interface Result {
  readonly ok: boolean;
  readonly output: string;
  readonly config: string[];
  readonly files: string[];
  readonly calls: Partial<Record<string, string[]>>;
}

function commandLine(given: readonly string[]): { words: string[]; options: Map<string, string> } {
  const rest = [...given];
  const found = new Map<string, string>();
  const others: string[] = [];
  while (rest.length > 0) {
    const word = rest.shift() ?? "";
    if (word === "--answers" || word === "--folder") found.set(word, rest.shift() ?? "");
    else if (word === "--errors") found.set(word, "");
    else others.push(word);
  }
  return { words: others, options: found };
}

function allCases(): Case[] {
  const files = readdirSync(folder).filter((name) => name.endsWith(".txt"));
  return files
    .toSorted()
    .flatMap((name) => parseCases(name.slice(0, -4), readFileSync(join(folder, name), "utf8"), registry));
}

async function built(builder: Builder, one: Placed, calls: Calls): Promise<Result> {
  const out = emptied(join(work, "out", builder.name, one.dockerfile));
  const files = join(out, "files.tar");
  const flags = [...one.case.flags, ...flagsOf(one)];
  const answer = await builder.build(work, flags, { out, files });
  const lines = answer.ok
    ? { config: configLines(answer.config), files: fileLines(await listing(files)) }
    : { config: [], files: [] };
  rmSync(out, { recursive: true, force: true });
  return {
    ok: answer.ok,
    output: answer.output,
    ...lines,
    calls: Object.fromEntries(
      METHODS.flatMap((method) => {
        const call = calls[method];
        return call === undefined ? [] : [[method, callLines(JSON.stringify(call))]];
      }),
    ),
  };
}

/**
 * Drops the dates of folders. With an ignore file, the engine does not receive the dates of the parent folders of
 * included files.
 */
function undated(files: readonly string[]): string[] {
  return files.map((line) => line.replace(/^(d.*) (?:<recent>|\d{4}-\S+ \S+) /, "$1 <date> "));
}

function compare(one: Case, ours: Result, other: Result): string[] {
  if (ours.ok !== other.ok) {
    const tail = (answer: Result): string => (answer.ok ? "succeeded" : `failed:\n${answer.output.slice(-1500)}`);
    return [`  kiln ${tail(ours)}`, `  buildkit ${tail(other)}`];
  }
  return [
    ...(ours.ok ? [] : failureDifferences(kilnFailure(ours.output), buildkitFailure(other.output))),
    ...differences("config", ours.config, other.config),
    ...(one.ignore.length === 0
      ? differences("file", ours.files, other.files)
      : differences("file", undated(ours.files), undated(other.files))),
    ...METHODS.flatMap((method) => {
      const [left, right] = [ours.calls[method], other.calls[method]];
      // A file that a check refuses gets no further calls.
      if (right === undefined) return [];
      if (left === undefined) return [`  --call=${method}: only buildkit answers`];
      return differences(`--call=${method}`, left, right);
    }),
  ];
}

/**
 * Collects BuildKit's results: from an earlier run's file, and the rest in groups that share one process for the calls.
 */
async function theirResults(all: readonly Placed[], answers: Answers<Result>): Promise<(Result | undefined)[]> {
  const missing = all.filter((one) => answers.get(one.case) === undefined);
  for (let at = 0; at < missing.length; at += GROUP) {
    const group = missing.slice(at, at + GROUP);
    const calls = await bakeCalls(docker, work, group);
    await mapLimit(group.entries(), 3, signal, async ([index, one]) => {
      answers.set(one.case, await built(theirs, one, calls[index] ?? {}));
    });
    answers.save();
  }
  return all.map((one) => answers.get(one.case));
}

const GROUP = 40;

/** Pushes the base images that other cases need. */
async function pushBases(all: readonly Placed[]): Promise<void> {
  for (const one of all.filter(({ case: { push } }) => push !== undefined)) {
    const tag = `${registry}/kiln-differential/${one.case.push}`;
    const build = await run([docker, "buildx", "build", "--network", "host", "-t", tag, ...flagsOf(one)], work);
    const push = await run([docker, "push", "-q", tag], work);
    // Later cases must pull it.
    await run([docker, "image", "rm", "-f", tag], work);
    if (!build.ok || !push.ok) throw new Error(`Cannot push ${tag}: ${build.output}${push.output}`);
  }
}

async function main(): Promise<number> {
  const context = join(work, "context");
  if (existsSync(join(folder, "context"))) {
    cpSync(join(folder, "context"), context, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  } else mkdirSync(context);
  if (existsSync(join(folder, "setup.sh"))) {
    const setup = await run(["sh", "-eu", join(folder, "setup.sh")], context);
    if (!setup.ok) throw new Error(`setup.sh failed: ${setup.output}`);
  }
  const wanted = (one: Case): boolean => words.length === 0 || words.some((word) => one.name.includes(word));
  const everything = placed(allCases(), work);
  const chosen = everything.filter((one) => wanted(one.case));
  await pushBases(everything.filter(({ case: { push } }) => push !== undefined));
  const [other, ours] = await Promise.all([
    theirResults(chosen, new Answers(options.get("--answers"), folder)),
    mapLimit(chosen, 2, signal, async (one) => built(mine, one, await kilnCalls(mine, work, one))),
  ]);
  const counts: Record<Verdict, number> = { same: 0, different: 0, meant: 0, newer: 0, stale: 0 };
  for (const [index, { case: one }] of chosen.entries()) {
    const [left, right] = [ours[index], other[index]];
    if (left === undefined || right === undefined) throw new Error(`${one.name} has no result`);
    const lines = compare(one, left, right);
    const kind = verdict(one, lines);
    counts[kind] += 1;
    const errors = options.has("--errors") && !left.ok && !right.ok;
    if (kind === "same" && !errors) continue;
    const texts = errors
      ? [`  --- kiln\n${kilnFailure(left.output).text}\n  --- buildkit\n${buildkitFailure(right.output).text}`]
      : [];
    console.log(
      [
        `${kind.padEnd(9)} ${one.name}`,
        ...(kind === "different" ? lines : [`  ${one.meant ?? one.newer}`]),
        ...texts,
      ].join("\n"),
    );
  }
  console.log(
    Object.entries(counts)
      .map(([kind, count]) => `${count} ${kind}`)
      .join(", "),
  );
  return counts.different + counts.stale === 0 ? 0 : 1;
}

type Verdict = "same" | "different" | "meant" | "newer" | "stale";

/** `stale`: the case is marked as different but no longer differs. */
function verdict(one: Case, lines: readonly string[]): Verdict {
  const known = one.meant === undefined ? (one.newer === undefined ? undefined : "newer") : "meant";
  if (lines.length === 0) return known === undefined ? "same" : "stale";
  return known ?? "different";
}

try {
  process.exitCode = await main();
} finally {
  rmSync(work, { recursive: true, force: true });
}
