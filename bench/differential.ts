/**
 * Builds contexts with kiln and with `docker buildx build` and prints every difference in the image configuration,
 * its history and the flattened files. Exit status 1 when anything differs.
 *
 *     npm run differential [-- NAME...]
 *
 * Contexts: the folders of testdata/differential. A file `args` in a folder holds more build flags, one a line; a file
 * `fails` says that both builders must refuse it. KILN_BENCH_REGISTRY and KILN_BENCH_DOCKER as in compare.ts.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const home = join(import.meta.dirname, "..");
const contexts = join(home, "testdata/differential");
const registry = process.env["KILN_BENCH_REGISTRY"] ?? "localhost:5000";
const docker = process.env["KILN_BENCH_DOCKER"] ?? "docker";
const work = mkdtempSync(join(tmpdir(), "kiln-differential-"));

type Built = {
  readonly ok: boolean;
  readonly output: string;
  readonly config: unknown;
  readonly files: readonly string[];
};

function run(command: readonly string[], cwd: string): { readonly ok: boolean; readonly output: string } {
  const [program = "", ...args] = command;
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: "utf8", maxBuffer: 1 << 28 });
  return { ok: status === 0, output: `${stdout}${stderr}${error?.message ?? ""}` };
}

/** One builder's result: the configuration out of the OCI layout, and the files as `tar -tv` lists them. */
function built(name: string, directory: string, command: (oci: string, tar: string) => readonly string[]): Built {
  const out = join(work, name);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const oci = join(out, "oci.tar");
  const tar = join(out, "files.tar");
  const result = run(command(oci, tar), directory);
  if (!result.ok) return { ...result, config: undefined, files: [] };
  const layout = join(out, "layout");
  mkdirSync(layout);
  run(["tar", "-xf", oci, "-C", layout], out);
  const read = (path: string): unknown => JSON.parse(readFileSync(join(layout, path), "utf8")) as unknown;
  const blob = (digest: unknown): unknown => read(`blobs/${String(digest).replace(":", "/")}`);
  const index = read("index.json") as { manifests: { digest: string }[] };
  const manifest = blob(index.manifests[0]?.digest) as { config: { digest: string } };
  const listing = run(
    ["tar", "-tvf", tar, "--numeric-owner", "--full-time", "--quoting-style=escape"],
    out,
  ).output.split("\n");
  return {
    ...result,
    config: withoutTimes(blob(manifest.config.digest)),
    files: listing.map(withoutBuildTimes).toSorted(),
  };
}

/** Layer digests and dates differ from build to build with every builder; their number and places must not. */
function withoutTimes(config: unknown): unknown {
  return JSON.parse(JSON.stringify(config), (key, value: unknown) => {
    if (key === "created") return "<time>";
    if (key === "diff_ids") return Array.isArray(value) ? value.length : value;
    return value;
  });
}

/** Whatever was made during the build carries the build's own date: only older dates are compared. */
function withoutBuildTimes(line: string): string {
  return line.replace(/ (\d{4})-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? /, (whole, year: string) =>
    Number(year) >= new Date().getFullYear() ? " <recent> " : whole,
  );
}

function differences(mine: Built, theirs: Built): string[] {
  const lines = (value: unknown): string[] => JSON.stringify(value, undefined, 1).split("\n");
  const compare = (what: string, left: readonly string[], right: readonly string[]): string[] => {
    const [inLeft, inRight] = [new Set(left), new Set(right)];
    return [
      ...left.filter((line) => !inRight.has(line)).map((line) => `  ${what} only kiln:     ${line.trim()}`),
      ...right.filter((line) => !inLeft.has(line)).map((line) => `  ${what} only buildkit: ${line.trim()}`),
    ];
  };
  return [...compare("config", lines(mine.config), lines(theirs.config)), ...compare("file", mine.files, theirs.files)];
}

const wanted = process.argv.slice(2);
let different = 0;
let same = 0;
try {
  for (const name of readdirSync(contexts).toSorted()) {
    if (wanted.length > 0 && !wanted.some((word) => name.includes(word))) continue;
    const directory = join(contexts, name);
    const context = existsSync(join(directory, "context")) ? join(directory, "context") : directory;
    const flags = existsSync(join(directory, "args"))
      ? readFileSync(join(directory, "args"), "utf8").split("\n").filter(Boolean)
      : [];
    const base = ["--build-arg", `BASE=${registry}/busybox:latest`, ...flags];
    const mine = built("kiln", context, (oci, tar) => [
      ...[join(home, "bin/kiln"), "--root", join(work, "store"), "build", "--progress", "plain", "--no-cache", ...base],
      ...["-o", `type=oci,dest=${oci}`, "-o", `type=tar,dest=${tar}`, "."],
    ]);
    const theirs = built("buildkit", context, (oci, tar) => [
      ...[
        docker,
        "buildx",
        "build",
        "--progress",
        "plain",
        "--network",
        "host",
        "--provenance=false",
        "--no-cache",
        ...base,
      ],
      ...["-o", `type=oci,dest=${oci}`, "-o", `type=tar,dest=${tar}`, "."],
    ]);
    const mustFail = existsSync(join(directory, "fails"));
    const found =
      mine.ok !== theirs.ok || mine.ok === mustFail
        ? [
            `  kiln ${mine.ok ? "succeeded" : `failed:\n${mine.output.slice(-2000)}`}`,
            `  buildkit ${theirs.ok ? "succeeded" : `failed:\n${theirs.output.slice(-2000)}`}`,
          ]
        : differences(mine, theirs);
    if (found.length === 0) same += 1;
    else different += 1;
    console.log(
      `${found.length === 0 ? "same     " : "DIFFERENT"} ${name}${found.length === 0 ? "" : `\n${found.join("\n")}`}`,
    );
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${same} the same, ${different} different`);
process.exitCode = different === 0 ? 0 : 1;
