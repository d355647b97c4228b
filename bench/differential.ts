/**
 * Builds contexts with kiln and with `docker buildx build` and prints every difference: in success or failure, in the
 * image configuration with its history, in the flattened files and their contents, and in the answers to
 * `--call=check`, `outline` and `targets`. Exits with status 1 on any difference.
 *
 *     npm run differential [-- NAME...]            all, or those with a name that contains a word
 *     npm run differential -- --errors [NAME...]   also prints both messages where both fail
 *     KILN_BENCH_REGISTRY=localhost:5000           a registry with busybox:latest that both reach over HTTP
 *     KILN_BENCH_DOCKER                            docker's command, when it is not `docker` on PATH
 *
 * Contexts are the folders of testdata/differential, each built from a copy. In a folder, `args` holds build flags, one
 * a line. A line `-`, `context` or a URL is the context (default `.`); a line `<FILE` gives the file as standard input.
 * `{server}` in `args` and the build argument SERVER name a loopback server over the copy. `fails` says that both
 * builders must refuse it. `setup.sh` runs in the copy first and makes files that git cannot hold.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Builder, type Where, buildkit, emptied, kiln, listing, run } from "./differential/builders.ts";
import { callLines, configLines, differences, fileLines } from "./differential/compare.ts";
import { serve } from "./differential/served.ts";

const home = join(import.meta.dirname, "..");
const contexts = join(home, "testdata/differential");
const registry = process.env["KILN_BENCH_REGISTRY"] ?? "localhost:5000";
const words = process.argv.slice(2);
const showErrors = words.includes("--errors");
const wanted = words.filter((word) => word !== "--errors");
const work = mkdtempSync(join(tmpdir(), "kiln-differential-"));
const mine = kiln(home, join(work, "store"));
const theirs = buildkit(process.env["KILN_BENCH_DOCKER"] ?? "docker", registry);

type Verdict = { readonly kind: "same" | "different" | "skipped"; readonly lines: readonly string[] };

async function compare(name: string): Promise<Verdict> {
  const context = join(emptied(join(work, "copy")), name);
  cpSync(join(contexts, name), context, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  if (existsSync(join(context, "setup.sh"))) {
    const setup = await run(["sh", "-eu", "setup.sh"], context);
    if (!setup.ok) return { kind: "different", lines: [`  setup.sh failed: ${setup.output}`] };
  }
  await using server = await serve(context);
  const flags = flagsOf(context, server.url);
  const [ours, other] = await Promise.all([built(mine, context, flags), built(theirs, context, flags)]);
  // The frontend inside the engine is older than the version kiln follows: it does not know newer words.
  const unknown = /unknown flag: --(?:parents|exclude|unpack)|the --\w+ option requires the labs channel/.exec(
    other.output,
  );
  if (unknown !== null && ours.ok) return { kind: "skipped", lines: [`  this buildkit says: ${unknown[0]}`] };
  const mustFail = existsSync(join(context, "fails"));
  if (ours.ok !== other.ok || ours.ok === mustFail) {
    const tail = (answer: typeof ours): string => (answer.ok ? "succeeded" : `failed:\n${answer.output.slice(-2000)}`);
    return { kind: "different", lines: [`  kiln ${tail(ours)}`, `  buildkit ${tail(other)}`] };
  }
  const found = [
    ...differences("config", ours.config, other.config),
    ...differences("file", ours.files, other.files),
    // For a file with an error, the answers depend on how far each builder reads on.
    ...(mustFail ? [] : await callDifferences(context, flags)),
  ];
  const errors = showErrors && mustFail ? [`--- kiln\n${ours.output}\n--- buildkit\n${other.output}`] : [];
  return { kind: found.length === 0 ? "same" : "different", lines: [...found, ...errors] };
}

function flagsOf(context: string, server: string): string[] {
  const given = existsSync(join(context, "args")) ? readFileSync(join(context, "args"), "utf8").split("\n") : [];
  const flags = given.filter(Boolean).map((flag) => flag.replaceAll("{server}", server));
  const hasContext = flags.some((flag) => flag === "-" || flag === "context" || /^https?:/.test(flag));
  const usual = ["--build-arg", `BASE=${registry}/busybox:latest`, "--build-arg", `SERVER=${server}`];
  return [...usual, ...flags, ...(hasContext ? [] : ["."])];
}

async function built(
  builder: Builder,
  context: string,
  flags: readonly string[],
): Promise<{ readonly ok: boolean; readonly output: string; readonly config: string[]; readonly files: string[] }> {
  const out = emptied(join(work, builder.name));
  const where: Where = { out, files: join(out, "files.tar") };
  const answer = await builder.build(context, flags, where);
  if (!answer.ok) return { ...answer, config: [], files: [] };
  return { ...answer, config: configLines(answer.config), files: fileLines(await listing(where.files)) };
}

async function callDifferences(context: string, flags: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const method of ["check", "outline", "targets"]) {
    const [ours, other] = await Promise.all([mine.call(context, method, flags), theirs.call(context, method, flags)]);
    // Where BuildKit gives no answer, ours must be missing too.
    if (ours.stdout.trim() === "" && other.stdout.trim() === "") continue;
    found.push(...differences(`--call=${method}`, callLines(ours.stdout), callLines(other.stdout)));
  }
  return found;
}

const counts = { same: 0, different: 0, skipped: 0 };
try {
  for (const name of readdirSync(contexts).toSorted()) {
    if (wanted.length > 0 && !wanted.some((word) => name.includes(word))) continue;
    const { kind, lines } = await compare(name);
    counts[kind] += 1;
    console.log([`${kind.padEnd(9)} ${name}`, ...lines].join("\n"));
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${counts.same} the same, ${counts.different} different, ${counts.skipped} skipped`);
process.exitCode = counts.different === 0 ? 0 : 1;
