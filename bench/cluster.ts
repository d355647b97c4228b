/**
 * Builds with up to 1,000 steps on a simulated cluster, and compares the time with the shortest that its workers allow. The
 * cluster is lib/reapi's stand-in on loopback; its workers wait for the time of a step and give back a layer with one file, so what is
 * measured is the client: scheduling, calls, records. `--pages` draws table and picture into docs/cluster.md.
 *
 *     sh scripts/pinned.sh node bench/cluster.ts [--pages]
 */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SimulatedWorker } from "../lib/reapi/testing/simulated-worker.ts";
import { StandIn } from "../lib/reapi/testing/stand-in.ts";
import { busyboxRoot, mustKiln, PROJECT } from "../test/e2e/harness.ts";

/** A worker's time for taking an action over. */
const OVERHEAD_MS = 20;
const STEPS = 1000;
/** Time of a row without any overhead. */
const ROW_MS = 39_000;

interface Row {
  readonly graph: string;
  readonly workers: number;
  readonly stepMs: number;
  readonly idealMs: number;
  readonly wallMs: number;
  readonly peakMegabytes: number;
}

/** Writes a Dockerfile of `width` chains with `depth` steps each; the last stage needs all of them. */
function dockerfile(width: number, depth: number): string {
  const names = Array.from({ length: width }, (_, n) => `s${n}`);
  const stages = names.map((name) =>
    [`FROM base AS ${name}`, ...Array.from({ length: depth }, (_, step) => `RUN work ${name} ${step}`)].join("\n"),
  );
  const mounts = names.map((name) => `--mount=from=${name},target=/${name}`).join(" ");
  return [...stages, "FROM base", `RUN ${mounts} work all`, ""].join("\n");
}

/** Shortest time of `width` equal chains on so many workers, with the last step behind them. */
function ideal(width: number, depth: number, workers: number, stepMs: number): number {
  return (Math.ceil(width / workers) * depth + 1) * (stepMs + OVERHEAD_MS);
}

async function row(graph: string, width: number, depth: number, workers: number, stepMs: number): Promise<Row> {
  const folder = mkdtempSync(join(tmpdir(), "kiln-bench-cluster-"));
  let isWarm = false;
  const worker = new SimulatedWorker({ stepMs: () => (isWarm ? stepMs : 0), overheadMs: OVERHEAD_MS });
  const server = await StandIn.start({ workers, worker });
  try {
    const store = join(folder, "store");
    mustKiln(store, ["import", busyboxRoot(folder), "base"]);
    const build = (
      name: string,
      text: string,
    ): Promise<{ readonly wallMs: number; readonly peakMegabytes: number }> => {
      const context = join(folder, name);
      mkdirSync(context);
      writeFileSync(join(context, "Dockerfile"), text);
      const cache = ["--cache-mode=off", "--remote-jobs", `${2 * workers}`, "-o", "type=cacheonly"];
      return timed(["--root", store, "build", "-q", "--remote", server.url, ...cache, context]);
    };
    // The program and the base image go there once.
    await build("first", "FROM base\nRUN work first\n");
    isWarm = true;
    const { wallMs, peakMegabytes } = await build("measured", dockerfile(width, depth));
    return { graph, workers, stepMs, idealMs: ideal(width, depth, workers, stepMs), wallMs, peakMegabytes };
  } finally {
    await server[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs kiln, and looks at its memory until it ends. */
async function timed(args: readonly string[]): Promise<{ readonly wallMs: number; readonly peakMegabytes: number }> {
  const startMs = performance.now();
  const child = spawn(join(PROJECT, "bin/kiln"), args, { stdio: ["ignore", "ignore", "inherit"] });
  let peakKilobytes = 0;
  const look = setInterval(() => {
    try {
      const [, text] = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "latin1")) ?? [];
      peakKilobytes = Math.max(peakKilobytes, Number(text ?? 0));
    } catch {
      // It has ended between two looks.
    }
  }, 100);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  clearInterval(look);
  if (code !== 0) throw new Error(`kiln ${args.join(" ")} ended with ${code}`);
  return { wallMs: performance.now() - startMs, peakMegabytes: peakKilobytes / 1024 };
}

const seconds = (ms: number): string => (ms / 1000).toFixed(1);

function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ graph, workers, stepMs, idealMs, wallMs, peakMegabytes }) =>
    [
      graph,
      workers,
      `${seconds(stepMs)} s`,
      `${seconds(idealMs)} s`,
      `${seconds(wallMs)} s`,
      (wallMs / idealMs).toFixed(2),
    ]
      .concat(`${Math.round(peakMegabytes)} MB`)
      .join(" | "),
  );
  const head = [
    "graph | workers | a step | ideal | measured | ratio | client's memory",
    Array(7).fill("---").join(" | "),
  ];
  return [...head, ...lines].map((line) => `| ${line} |`).join("\n");
}

/** Draws how many steps' work was done at a time over the number of workers, both axes logarithmic. */
function pictureOf(rows: readonly Row[]): string {
  const [width, height, left, top, right, bottom] = [640, 340, 64, 24, 24, 56];
  const most = Math.max(...rows.map(({ workers }) => workers));
  const x = (workers: number): number => left + (Math.log2(workers) / Math.log2(most)) * (width - left - right);
  const y = (speed: number): number => height - bottom - (Math.log2(speed) / Math.log2(most)) * (height - top - bottom);
  const speed = ({ stepMs }: Row, ms: number): number => (STEPS * (stepMs + OVERHEAD_MS)) / ms;
  const line = (of: (one: Row) => number): string =>
    rows.map((one) => `${x(one.workers).toFixed(1)},${y(Math.max(1, speed(one, of(one)))).toFixed(1)}`).join(" ");
  const text = (tx: number, ty: number, words: string, anchor: string): string =>
    `<text x="${tx.toFixed(1)}" y="${ty.toFixed(1)}" text-anchor="${anchor}">${words}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="Steps at one time over the number of workers">`,
    "<style>svg{background:#fff}text{font:12px sans-serif;fill:#333}polyline{fill:none;stroke-width:2}.grid{stroke:#ddd}</style>",
    ...rows.flatMap(({ workers }) => [
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(workers).toFixed(1)}" y2="${y(workers).toFixed(1)}"/>`,
      text(left - 8, y(workers) + 4, `${workers}`, "end"),
      text(x(workers), height - bottom + 20, `${workers}`, "middle"),
    ]),
    text((left + width - right) / 2, height - 12, "workers", "middle"),
    text(left, 14, "steps' work done at one time: measured (line), the most possible (dashes)", "start"),
    `<polyline points="${line(({ idealMs }) => idealMs)}" stroke="#9ab" stroke-dasharray="6 4"/>`,
    `<polyline points="${line(({ wallMs }) => wallMs)}" stroke="#c40"/>`,
    ...rows.map(
      (one) =>
        `<circle cx="${x(one.workers).toFixed(1)}" cy="${y(Math.max(1, speed(one, one.wallMs))).toFixed(1)}" r="3" fill="#c40"/>`,
    ),
    "</svg>",
    "",
  ].join("\n");
}

const independent: Row[] = [];
// The time of a step grows with the workers, so that each row takes the same time and the client has the same work in it.
for (const workers of [1, 4, 16, 64, 256]) {
  independent.push(
    await row(`${STEPS} independent steps`, STEPS, 1, workers, Math.round(ROW_MS / Math.ceil(STEPS / workers))),
  );
  console.log(tableOf(independent.slice(-1)));
}
const others = [
  await row("20 chains of 50 steps", 20, 50, 64, 1000),
  await row("a chain of 200 steps", 1, 200, 64, 200),
];
const table = tableOf([...independent, ...others]);
console.log(table);
if (process.argv.includes("--pages")) {
  const page = join(PROJECT, "docs/cluster.md");
  const before = readFileSync(page, "utf8");
  const after = before.replace(
    /<!-- scale -->[\s\S]*<!-- \/scale -->/,
    () => `<!-- scale -->\n${table}\n<!-- /scale -->`,
  );
  writeFileSync(page, after);
  writeFileSync(join(PROJECT, "docs/pictures/cluster-scale.svg"), pictureOf(independent));
}
