import { spawnSync } from "node:child_process";
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "../..");
/** Everything between the sources and the published files. */
export const WORK = join(ROOT, "build", "release");

/**
 * Runs a program in the repository and returns what it wrote.
 * @throws {Error} with its messages when it fails
 */
export function run(
  words: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): string {
  const [program = "", ...args] = words;
  const done = spawnSync(program, args, {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (done.error !== undefined && "code" in done.error && done.error.code === "ENOENT") {
    throw new Error(`release: ${program} is missing; scripts/release/README.md lists what is needed`);
  }
  if (done.status !== 0) throw new Error(`release: ${words.join(" ")} failed:\n${done.stderr}${done.stdout}`);
  return done.stdout;
}

/** The commit that is released, with `-dirty` after it when the files are others; KILN_RELEASE_COMMIT where there is no repository. */
export function releaseCommit(): string {
  const given = process.env["KILN_RELEASE_COMMIT"];
  if (given) return given;
  const changed = run(["git", "status", "--porcelain", "--untracked-files=no"]).trim() !== "";
  return `${run(["git", "rev-parse", "HEAD"]).trim()}${changed ? "-dirty" : ""}`;
}

/** Seconds since 1970 of the release: SOURCE_DATE_EPOCH, or the last commit's. */
export function releaseDate(): string {
  return process.env["SOURCE_DATE_EPOCH"] || run(["git", "log", "-1", "--format=%ct"]).trim();
}
