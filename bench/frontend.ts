/**
 * Measures the cost of reading a Dockerfile of many instructions and turning it into a graph: in a fresh process, where
 * the code has never run but the grammar is built, and when warm; by the clock, and in processor time of the thread,
 * which other processes disturb less. Also measures bin/kiln, with its code compiled in the startup snapshot: the extra
 * time of such a file's outline over that of a file with one instruction. `node bench/frontend.ts [instructions]`,
 * after a build, prints the best of several processes, the most stable figure on a busy machine.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convertDockerfile } from "../frontend/convert/convert.ts";
import { type ConvertOptions, NO_FLAGS } from "../frontend/convert/options.ts";
import type { Resolver } from "../frontend/convert/resolver.ts";
import { parseDockerfile } from "../frontend/parse.ts";
import { prepareParser } from "../frontend/syntax/instruction-parser.ts";
import { SourceText } from "../lib/core/span.ts";
import { digestOf } from "../lib/core/digest.ts";

const RUNS = 7;
const HOST = { os: "linux", architecture: "amd64" };

const OPTIONS: ConvertOptions = {
  ...NO_FLAGS,
  buildPlatform: HOST,
  context: { kind: "local", name: "context", excludes: [] },
};

/** A resolver with one base image and nothing else. */
const RESOLVER: Resolver = {
  image: async (ref) => ({
    ref,
    manifest: digestOf(ref),
    config: { ...HOST, config: {}, rootfs: { type: "layers", diff_ids: [digestOf("layer")] }, history: [], other: {} },
  }),
  namedContext: async () => undefined,
  sourceDate: async () => undefined,
};

if (process.argv[2] === "once") console.log(JSON.stringify(await once(Number(process.argv[3]))));
else main(Number(process.argv[2] ?? 10_000));

function main(instructions: number): void {
  const samples = Array.from({ length: RUNS }, () => {
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [import.meta.filename, "once", String(instructions)],
      { encoding: "utf8" },
    );
    if (status !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as Times;
  });
  console.log(`${instructions} instructions, the best of ${RUNS} processes:`);
  for (const state of ["fresh", "warm"] as const) {
    for (const part of ["parse", "convert"] as const) {
      const best = (unit: keyof Time): string =>
        Math.min(...samples.map((sample) => sample[state][part][unit])).toFixed(1);
      console.log(`${state} ${part}`.padEnd(14), `${best("wallMs")} ms, processor ${best("cpuMs")} ms`);
    }
  }
  console.log("in bin/kiln".padEnd(14), `${outlineMs(instructions).toFixed(1)} ms more than one instruction`);
}

function outlineMs(instructions: number): number {
  const directory = mkdtempSync(join(tmpdir(), "kiln-bench-"));
  try {
    const [small, large] = ["FROM scratch\n", dockerfile(instructions).replace("FROM busybox", "FROM scratch")].map(
      (text, index) => {
        const file = join(directory, String(index));
        writeFileSync(file, text);
        return (): number => {
          const start = performance.now();
          const args = ["--root", join(directory, "store"), "build", "--call=outline", "-f", file, directory];
          const { status, stderr } = spawnSync(join(import.meta.dirname, "../bin/kiln"), args, { encoding: "utf8" });
          if (status !== 0) throw new Error(stderr);
          return performance.now() - start;
        };
      },
    );
    if (small === undefined || large === undefined) throw new Error("Two files make two measurements");
    const pairs = Array.from({ length: 3 * RUNS }, () => ({ small: small(), large: large() }));
    return Math.min(...pairs.map((pair) => pair.large)) - Math.min(...pairs.map((pair) => pair.small));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Time {
  readonly wallMs: number;
  readonly cpuMs: number;
}

interface Sample {
  readonly parse: Time;
  readonly convert: Time;
}

interface Times {
  readonly fresh: Sample;
  /** The fastest of ten more runs. */
  readonly warm: Sample;
}

async function once(instructions: number): Promise<Times> {
  const text = dockerfile(instructions);
  prepareParser();
  const fresh = await timed(text);
  const warm: Sample[] = [];
  for (let run = 0; run < 10; run += 1) warm.push(await timed(text));
  const best = (part: keyof Sample): Time => ({
    wallMs: Math.min(...warm.map((sample) => sample[part].wallMs)),
    cpuMs: Math.min(...warm.map((sample) => sample[part].cpuMs)),
  });
  return { fresh, warm: { parse: best("parse"), convert: best("convert") } };
}

async function timed(text: string): Promise<Sample> {
  const start = now();
  const parsed = parseDockerfile(new SourceText("Dockerfile", text));
  const middle = now();
  await convertDockerfile(parsed, OPTIONS, RESOLVER, new AbortController().signal);
  return { parse: between(start, middle), convert: between(middle, now()) };
}

function now(): Time {
  const { user, system } = process.threadCpuUsage();
  return { wallMs: performance.now(), cpuMs: (user + system) / 1000 };
}

function between(start: Time, end: Time): Time {
  return { wallMs: end.wallMs - start.wallMs, cpuMs: end.cpuMs - start.cpuMs };
}

/** Makes stages of forty instructions of all common kinds. */
function dockerfile(instructions: number): string {
  const lines: string[] = [];
  for (let at = 0; lines.length < instructions; at += 1) {
    if (at % 40 === 0) lines.push(`FROM ${at === 0 ? "busybox" : `stage${at - 40}`} AS stage${at}`);
    else if (at % 8 === 1) lines.push(`ENV NAME${at % 50}=value-${at} OTHER="$NAME1 and more"`);
    else if (at % 8 === 2) lines.push(`COPY --chown=1:2 src/${at} lib/*.js /app/\${NAME1}/`);
    else if (at % 8 === 3) lines.push(`ARG VERSION${at % 30}=1.${at}`);
    else if (at % 8 === 4) lines.push(`LABEL org.example.l${at % 60}="some text"`);
    else if (at % 8 === 5) lines.push(`WORKDIR /app/${at % 10}`);
    else lines.push(`RUN make -C /src/${at} all \\\n    && make install`);
  }
  return `${lines.join("\n")}\n`;
}
