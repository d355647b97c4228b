/**
 * What reading a Dockerfile of many instructions and turning it into a graph costs: in a fresh process, where the code
 * has never run, and when it is warm. `node bench/frontend.ts [instructions]`; the best of several processes, which is what
 * a busy machine can still say.
 */
import { spawnSync } from "node:child_process";
import { convertDockerfile } from "../frontend/convert/convert.ts";
import type { ConvertOptions } from "../frontend/convert/options.ts";
import type { Resolver } from "../frontend/convert/resolver.ts";
import { parseDockerfile } from "../frontend/parse.ts";
import { SourceText } from "../src/core/span.ts";
import { digestOf } from "../src/core/digest.ts";

const RUNS = 7;
const HOST = { os: "linux", architecture: "amd64" };

const OPTIONS: ConvertOptions = {
  target: undefined,
  buildArgs: new Map(),
  buildPlatform: HOST,
  targetPlatform: undefined,
  multiPlatform: false,
  labels: new Map(),
  noCache: "none",
  network: "default",
  ulimits: [],
  shmSizeBytes: undefined,
  extraHosts: [],
  hostname: undefined,
  cgroupParent: undefined,
  cacheMountNamespace: undefined,
  context: { kind: "local", name: "context", excludes: [] },
};

/** Knows one base image and nothing else. */
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
  for (const part of ["parse", "convert", "warmParse", "warmConvert"] as const) {
    const best = Math.min(...samples.map((sample) => sample[part]));
    console.log(`${part.padEnd(12)} ${best.toFixed(1)} ms`);
  }
}

interface Times {
  readonly parse: number;
  readonly convert: number;
  readonly warmParse: number;
  readonly warmConvert: number;
}

/** The first time and, of ten more, the fastest. Milliseconds. */
async function once(instructions: number): Promise<Times> {
  const text = dockerfile(instructions);
  const first = await timed(text);
  const warm = [];
  for (let run = 0; run < 10; run += 1) warm.push(await timed(text));
  return {
    ...first,
    warmParse: Math.min(...warm.map(({ parse }) => parse)),
    warmConvert: Math.min(...warm.map(({ convert }) => convert)),
  };
}

async function timed(text: string): Promise<{ readonly parse: number; readonly convert: number }> {
  const start = performance.now();
  const parsed = parseDockerfile(new SourceText("Dockerfile", text));
  const middle = performance.now();
  await convertDockerfile(parsed, OPTIONS, RESOLVER, new AbortController().signal);
  return { parse: middle - start, convert: performance.now() - middle };
}

/** Stages of forty instructions of all common kinds. */
function dockerfile(instructions: number): string {
  const lines: string[] = [];
  for (let at = 0; lines.length < instructions; at += 1) {
    if (at % 40 === 0) lines.push(`FROM ${at === 0 ? "busybox" : `stage${at - 40}`} AS stage${at}`);
    else if (at % 8 === 1) lines.push(`ENV NAME${at % 50}=value-${at} OTHER="$NAME1 and more"`);
    else if (at % 8 === 2) lines.push(`COPY --chown=1:2 src/${at} lib/*.js /app/\${NAME1}/`);
    else if (at % 8 === 3) lines.push(`ARG VERSION${at % 30}=1.${at}`);
    else if (at % 8 === 4) lines.push(`LABEL org.example.l${at % 60}="some text"`);
    else if (at % 8 === 5) lines.push(`WORKDIR /work/${at % 10}`);
    else lines.push(`RUN make -C /src/${at} all \\\n    && make install`);
  }
  return `${lines.join("\n")}\n`;
}
