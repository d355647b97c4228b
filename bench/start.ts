/**
 * Measures what a shell waits for: `kiln --version`, a completion, and a build of which nothing changed, without and with a
 * kiln.toml. `node bench/start.ts` prints medians and the fastest of 31 starts, which take turns.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROUNDS = 31;
const KILN = join(import.meta.dirname, "../bin/kiln");
const root = mkdtempSync(join(tmpdir(), "kiln-bench-start-"));

interface Start {
  readonly name: string;
  readonly budgetMs?: number;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly timesMs: number[];
}

function start(name: string, args: readonly string[], more: { budgetMs?: number; cwd?: string } = {}): Start {
  return { name, args, cwd: root, timesMs: [], ...more };
}

function project(name: string, settings: string): string {
  const path = join(root, name);
  mkdirSync(path);
  writeFileSync(join(path, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  if (settings !== "") writeFileSync(join(path, "kiln.toml"), settings);
  return path;
}

const build = ["--root", join(root, "store"), "build", "-q", "."];
const starts = [
  start("kiln --version", ["--version"], { budgetMs: 40 }),
  start("completion of a flag", ["__complete", "line", "kiln build --pro"], { budgetMs: 60 }),
  start("build, nothing changed", build, { cwd: project("plain", "") }),
  start("the same with a kiln.toml", build, { cwd: project("settings", "jobs = 8\nreproducible = false\n") }),
];
try {
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const { args, cwd, timesMs } of starts) {
      const startedMs = performance.now();
      const { status, stderr } = spawnSync(KILN, args, { cwd, encoding: "utf8" });
      if (status !== 0) throw new Error(`kiln ${args.join(" ")}: ${stderr}`);
      // The first round fills the store and the page cache.
      if (round >= 0) timesMs.push(performance.now() - startedMs);
    }
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
for (const { name, budgetMs, timesMs } of starts) {
  const sorted = timesMs.toSorted((a, b) => a - b);
  const [median = 0, fastest = 0] = [sorted[(ROUNDS - 1) / 2], sorted[0]];
  const budget = budgetMs === undefined ? "" : `, budget ${budgetMs} ms`;
  console.log(`${name}: median ${median.toFixed(0)} ms, fastest ${fastest.toFixed(0)} ms${budget}`);
}
