/**
 * Builds whole projects with kiln and with BuildKit and prints every difference in files, configuration and history.
 * What differs between two builds of BuildKit's own, such as times in a program's cache, is left out. Exits with status
 * 1 on any difference.
 *
 *     npm run projects                             those of testdata/projects
 *     npm run projects -- DIRECTORY...             any others, such as checked-out repositories
 *     npm run projects -- --list FILE              one project a line: a directory, then build flags
 *     KILN_BENCH_REGISTRY=localhost:5000           a registry with debian:bookworm and busybox:latest
 *     KILN_BENCH_DOCKER                            docker's command, when it is not `docker` on PATH
 *
 * The base images of testdata/projects are built by kiln and pushed to the registry first.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { isRecord } from "../lib/core/json.ts";
import { type Builder, buildkit, emptied, kiln, listing, run } from "./differential/builders.ts";
import { configLines, differences, fileLines } from "./differential/compare.ts";

const home = join(import.meta.dirname, "..");
const ours = join(home, "testdata/projects");
const registry = process.env["KILN_BENCH_REGISTRY"] ?? "localhost:5000";
const work = mkdtempSync(join(tmpdir(), "kiln-projects-"));
const store = join(work, "store");
const mine = kiln(home, store);
const theirs = buildkit(process.env["KILN_BENCH_DOCKER"] ?? "docker", registry);

interface Project {
  readonly directory: string;
  readonly flags: readonly string[];
}

interface Built {
  readonly ok: boolean;
  readonly output: string;
  readonly config: readonly string[];
  readonly files: readonly string[];
}

type Verdict = { readonly kind: "same" | "different"; readonly lines: readonly string[] };

async function compare({ directory, flags }: Project): Promise<Verdict> {
  const context = emptied(join(work, "copy", basename(directory)));
  cpSync(directory, context, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  const all = [...flags, "."];
  const left = await built(mine, context, all);
  const right = await built(theirs, context, all);
  if (!left.ok || !right.ok) {
    const tail = ({ ok, output }: Built): string => (ok ? "succeeded" : `failed:\n${output.slice(-2000)}`);
    const kind = left.ok === right.ok ? "same" : "different";
    return { kind, lines: [`  kiln ${tail(left)}`, `  buildkit ${tail(right)}`] };
  }
  const found = compared(left, right);
  if (found.length === 0) return { kind: "same", lines: [`  ${left.files.length} lines of files`] };
  // A file that BuildKit itself makes anew each time is no difference.
  const again = await built(theirs, context, all);
  const unstable = new Set(compared(right, again).map(placeOf));
  const lines = found.filter((line) => !unstable.has(placeOf(line)));
  const note = `  ${unstable.size} files differ from one build of BuildKit to the next`;
  return { kind: lines.length === 0 ? "same" : "different", lines: [...lines, note] };
}

function compared(left: Built, right: Built): readonly string[] {
  return [...differences("config", left.config, right.config), ...differences("file", left.files, right.files)];
}

/** Takes the path from a line about a file, which ends with it. */
function placeOf(line: string): string {
  return line.split(" ").at(-1) ?? line;
}

async function built(builder: Builder, context: string, flags: readonly string[]): Promise<Built> {
  const out = emptied(join(work, builder.name));
  const where = { out, files: join(out, "files.tar") };
  const answer = await builder.build(context, flags, where);
  if (!answer.ok) return { ...answer, config: [], files: [] };
  return { ...answer, config: configLines(answer.config), files: fileLines(await listing(where.files)) };
}

/** Makes the images that the projects of this repository build on. */
async function makeBases(): Promise<void> {
  const base = ["--build-arg", `BASE=${registry}/debian:bookworm`];
  const busybox = ["--build-context", `busybox:latest=docker-image://${registry}/busybox:latest`];
  const images: readonly (readonly [string, readonly string[]])[] = [
    ["toolchain", [...base, join(ours, "toolchain")]],
    ["distroless", [...busybox, "--target", "base", join(ours, "distroless-targets")]],
  ];
  const program = [join(home, "bin/kiln"), "--root", store];
  const names = `${registry}/kiln-projects`;
  const commands = [
    [...program, "copy", `${registry}/busybox:latest`, `${names}/busybox:latest`],
    ...images.map(([name, flags]) => [...program, "build", "-q", "--push", "-t", `${names}/${name}`, ...flags]),
  ];
  for (const command of commands) {
    const answer = await run(command, work);
    if (!answer.ok) throw new Error(answer.output);
  }
}

function ourProjects(): readonly Project[] {
  return readdirSync(ours)
    .filter((name) => existsSync(join(ours, name, "expect.json")))
    .map((name) => {
      const directory = join(ours, name);
      const { contexts, args, env } = JSON.parse(readFileSync(join(directory, "expect.json"), "utf8")) as Record<
        string,
        unknown
      >;
      for (const [variable, value] of Object.entries(isRecord(env) ? env : {})) process.env[variable] = String(value);
      const images = Object.entries(isRecord(contexts) ? contexts : {}).flatMap(([image, base]) => [
        "--build-context",
        `${image}=docker-image://${registry}/kiln-projects/${String(base)}:latest`,
      ]);
      return { directory, flags: [...images, ...(Array.isArray(args) ? args.map(String) : [])] };
    });
}

/** Reads the projects of a list: a directory, then flags, separated by spaces. */
function listed(file: string): readonly Project[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([directory = ""]) => directory !== "" && !directory.startsWith("#"))
    .map(([directory = "", ...flags]) => ({ directory, flags }));
}

async function projects(): Promise<readonly Project[]> {
  const words = process.argv.slice(2);
  if (words[0] === "--list") return listed(words[1] ?? "");
  if (words.length > 0) return words.map((directory) => ({ directory, flags: [] }));
  await makeBases();
  return ourProjects();
}

const counts = { same: 0, different: 0 };
try {
  for (const project of await projects()) {
    const { kind, lines } = await compare(project);
    counts[kind] += 1;
    console.log([`${kind.padEnd(9)} ${project.directory}`, ...lines].join("\n"));
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${counts.same} the same, ${counts.different} different`);
process.exitCode = counts.different === 0 ? 0 : 1;
