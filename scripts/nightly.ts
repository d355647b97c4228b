/**
 * Runs everything that is too long for each change, one part after the other, and writes one report of it into
 * build/nightly/: report.md for people, and the whole output of each part.
 *
 *     npm run test:nightly [-- PART...]
 *
 * A part that needs docker (KILN_BENCH_DOCKER) is left out, with the reason in the report, where none answers. Exits with 1
 * if a part failed.
 */
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NUMBER, object, readJsonAs } from "../lib/core/shape.ts";

const home = join(import.meta.dirname, "..");
const folder = join(home, "build", "nightly");

interface Part {
  readonly name: string;
  /** Amounts, as the tests read them. */
  readonly env: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  readonly needsDocker?: true;
}

const vitest = (...paths: readonly string[]): readonly string[] => ["vitest", "run", ...paths, "--no-file-parallelism"];
const bench = (file: string): readonly string[] => ["node", `bench/${file}.ts`];

const PARTS: readonly Part[] = [
  { name: "faults", env: { KILN_TEST_FAULTS: "500" }, command: vitest("test/faults") },
  { name: "killed builds", env: { KILN_TEST_KILLS: "1000" }, command: vitest("test/robust/killed.test.ts") },
  { name: "load", env: { KILN_TEST_LOAD: "whole" }, command: vitest("test/load") },
  {
    name: "warm and cold",
    env: { KILN_PROPERTY_RUNS: "300" },
    command: vitest("test/robust/warm-and-cold.test.ts"),
  },
  { name: "random input", env: { KILN_FUZZ: "50" }, command: vitest("test/robust/border.test.ts") },
  { name: "escapes", env: {}, command: vitest("test/escape", "solver/runtime/escape.test.ts") },
  { name: "projects beside BuildKit", env: {}, command: bench("projects"), needsDocker: true },
  { name: "contexts beside BuildKit", env: {}, command: bench("differential"), needsDocker: true },
  { name: "one-file cases beside BuildKit", env: {}, command: bench("differential-cases"), needsDocker: true },
];

interface Outcome {
  readonly name: string;
  readonly verdict: "passed" | "failed" | "left out";
  readonly seconds: number;
  readonly told: string;
}

const docker = process.env["KILN_BENCH_DOCKER"] ?? "docker";
const hasDocker = spawnSync(docker, ["version"], { stdio: "ignore" }).status === 0;

const counts = object({ numPassedTests: NUMBER, numFailedTests: NUMBER });

function countsIn(file: string): string {
  const { numPassedTests, numFailedTests } = readJsonAs(counts, readFileSync(file, "utf8"), (why) => {
    throw new Error(`${file}: ${why}`);
  });
  return `${numPassedTests} passed, ${numFailedTests} failed`;
}

function run({ name, env, command, needsDocker }: Part): Outcome {
  if (needsDocker === true && !hasDocker) return { name, verdict: "left out", seconds: 0, told: "no docker answers" };
  const log = join(folder, `${name.replaceAll(" ", "-")}.log`);
  const json = log.replace(/log$/, "json");
  const isTest = command[0] === "vitest";
  const words = isTest ? [...command, "--reporter=default", "--reporter=json", `--outputFile.json=${json}`] : command;
  const output = openSync(log, "w");
  const startMs = performance.now();
  const { status } = spawnSync("sh", ["scripts/pinned.sh", ...words], {
    cwd: home,
    env: { ...process.env, ...env },
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  const seconds = Math.round((performance.now() - startMs) / 1000);
  const last = readFileSync(log, "utf8").trim().split("\n").at(-1) ?? "";
  const amounts = Object.entries(env).map(([key, value]) => `${key}=${value}`);
  const told = [...amounts, isTest && status !== null ? countsIn(json) : last].join(", ");
  return { name, verdict: status === 0 ? "passed" : "failed", seconds, told };
}

mkdirSync(folder, { recursive: true });
const wanted = process.argv.slice(2);
const outcomes: Outcome[] = [];
for (const part of PARTS) {
  if (wanted.length > 0 && !wanted.some((word) => part.name.includes(word))) continue;
  const outcome = run(part);
  outcomes.push(outcome);
  console.log(`${outcome.verdict}: ${outcome.name}, ${outcome.seconds} s: ${outcome.told}`);
}
const rows = outcomes.map(({ name, verdict, seconds, told }) => `| ${name} | ${verdict} | ${seconds} s | ${told} |`);
const report = ["| part | | time | amounts and counts |", "| --- | --- | --- | --- |", ...rows, ""].join("\n");
writeFileSync(join(folder, "report.md"), report);
if (outcomes.some(({ verdict }) => verdict === "failed")) process.exitCode = 1;
