/**
 * Times whole commands, kiln next to `docker buildx build` and `buildah build` where they are installed, alternating in
 * one run on the same contexts. Prints one line per piece of work: medians in milliseconds and the ratio.
 *
 *     npm run bench [-- NAME...]          all, or those with a name that contains a word
 *     KILN_BENCH_REGISTRY=localhost:5000  a registry that holds busybox:latest and that all builders reach over HTTP
 *     KILN_BENCH_DOCKER, KILN_BENCH_BUILDAH   the commands, when they are not `docker` and `buildah` on PATH
 *     KILN_BENCH_RUNS=5                   timed runs of each
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CASES, type Case } from "./cases.ts";

type Builder = {
  readonly name: string;
  /** Returns the whole command that builds the context in `directory`. */
  command(
    directory: string,
    options: { readonly cache: "use" | "skip"; readonly push?: Case["push"] },
  ): readonly string[];
};

const home = join(import.meta.dirname, "..");
const registry = process.env["KILN_BENCH_REGISTRY"] ?? "localhost:5000";
const runs = Number(process.env["KILN_BENCH_RUNS"] ?? 5);
const work = mkdtempSync(join(tmpdir(), "kiln-bench-"));

const kiln: Builder = {
  name: "kiln",
  command: (directory, { cache, push }) => [
    join(home, "bin/kiln"),
    ...["--root", join(work, "store")],
    ...["build", "-q", "-t", "bench-kiln", "--build-arg", `BASE=${registry}/busybox:latest`],
    ...(cache === "skip" ? ["--no-cache"] : []),
    ...(push ? ["-o", `type=registry,name=${registry}/bench-kiln,compression=${push}`] : []),
    directory,
  ],
};

const docker: Builder = {
  name: "buildkit",
  command: (directory, { cache, push }) => [
    process.env["KILN_BENCH_DOCKER"] ?? "docker",
    ...[
      "buildx",
      "build",
      "-q",
      "--network",
      "host",
      "--provenance=false",
      "--build-arg",
      `BASE=${registry}/busybox:latest`,
    ],
    ...(cache === "skip" ? ["--no-cache"] : []),
    ...(push
      ? ["-o", `type=image,name=${registry}/bench-buildkit,push=true,compression=${push},oci-mediatypes=true`]
      : ["-t", "bench-buildkit"]),
    directory,
  ],
};

const buildah: Builder = {
  name: "buildah",
  command: (directory, { cache }) => [
    process.env["KILN_BENCH_BUILDAH"] ?? "buildah",
    ...["build", "-q", "--layers", "--network", "host", "--isolation", "oci", "-t", "bench-buildah"],
    ...["--build-arg", `BASE=${registry}/busybox:latest`],
    ...(cache === "skip" ? ["--no-cache"] : []),
    directory,
  ],
};

function works(builder: Builder): boolean {
  const [program = ""] = builder.command(work, { cache: "use" });
  return builder === kiln || spawnSync(program, ["version"], { stdio: "ignore" }).status === 0;
}

/** Measures the wall milliseconds of one command; throws with its output when it fails. */
function time(command: readonly string[]): number {
  const [program = "", ...args] = command;
  const start = performance.now();
  const { status, stderr, error } = spawnSync(program, args, {
    stdio: ["ignore", "ignore", "pipe"],
    maxBuffer: 1 << 26,
  });
  const wallMs = performance.now() - start;
  if (status !== 0) throw new Error(`${command.join(" ")}: ${error?.message ?? String(stderr)}`);
  return wallMs;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function measure(each: Case, builders: readonly Builder[]): Map<Builder, number> {
  const directory = join(work, each.name.replaceAll(/[^a-z0-9]+/gi, "-"));
  mkdirSync(directory, { recursive: true });
  each.write(directory, (path, data) => {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), data);
  });
  const times = new Map<Builder, number[]>(builders.map((builder) => [builder, []]));
  const count = each.runs ?? runs;
  // The first round warms all caches (page cache, base image) and is not counted.
  for (let round = 0; round <= count; round += 1) {
    each.change?.(directory, round);
    for (const builder of builders) {
      if (each.push && builder === buildah) continue;
      const wallMs = time(builder.command(directory, { cache: each.cache, push: each.push }));
      if (round > 0) times.get(builder)?.push(wallMs);
    }
  }
  rmSync(directory, { recursive: true, force: true });
  return new Map([...times].map(([builder, list]) => [builder, median(list)]));
}

const wanted = process.argv.slice(2);
const builders = [kiln, docker, buildah].filter(works);
console.log(
  `${"work".padEnd(44)}${builders.map((builder) => builder.name.padStart(12)).join("")}${"kiln/buildkit".padStart(15)}${"budget".padStart(12)}`,
);
try {
  for (const each of CASES.filter(({ name }) => wanted.length === 0 || wanted.some((word) => name.includes(word)))) {
    const result = measure(each, each.alone ? [kiln] : builders);
    const cells = builders.map((builder) => {
      const wallMs = result.get(builder);
      return (wallMs === undefined || Number.isNaN(wallMs) ? "-" : `${wallMs.toFixed(0)} ms`).padStart(12);
    });
    const [mine, theirs] = [result.get(kiln), result.get(docker)];
    const ratio = mine === undefined || theirs === undefined ? "-" : (mine / theirs).toFixed(2);
    console.log(`${each.name.padEnd(44)}${cells.join("")}${ratio.padStart(15)}${each.budget.padStart(12)}`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
