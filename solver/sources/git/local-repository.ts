import { execFile } from "node:child_process";
import { realpath } from "node:fs/promises";
import type { GitProgram } from "./run-git.ts";
import { withoutCredentials } from "../../../lib/core/credentials.ts";

/** The state of a repository on this machine. */
export interface LocalRepository {
  /** The top folder of its files, with symlinks resolved. */
  readonly root: string;
  /** The checked-out commit; absent before the first one. */
  readonly revision: string | undefined;
  /** True when the files differ from that commit; only computed on request. */
  readonly isDirty: boolean;
  /** URL of the branch's remote, `origin` or `upstream`, without credentials. */
  readonly source: string | undefined;
}

/** Time limit of one git command, in milliseconds. */
const TIME_LIMIT = 30_000;

/**
 * Describes the repository around a folder; `undefined` where there is none that git would read. The user's own
 * configuration counts, as for `git status`; programs that the repository's configuration names are not run.
 */
export async function findLocalRepository(
  directory: string,
  program: Pick<GitProgram, "env" | "guardPath"> & { readonly checkDirty: boolean },
  signal: AbortSignal,
): Promise<LocalRepository | undefined> {
  const ask: Ask = async (...args) => (await answer(directory, program, args, signal))?.split("\n")[0];
  const top = await ask("rev-parse", "--show-toplevel");
  if (top === undefined || top === "") return undefined;
  const revision = (await ask("rev-parse", "--verify", "-q", "HEAD^{commit}")) || undefined;
  const isDirty =
    program.checkDirty &&
    revision !== undefined &&
    (await hasChanges((args) => answer(directory, program, args, signal)));
  return { root: await realpath(top), revision, isDirty, source: await findSource(ask) };
}

/** Finds when the checked-out commit was made, in seconds since 1970; `undefined` where there is none. */
export async function commitTimeOf(
  directory: string,
  program: Pick<GitProgram, "env" | "guardPath">,
  signal: AbortSignal,
): Promise<number | undefined> {
  const text = await answer(directory, program, ["show", "-s", "--format=%ct", "HEAD^{commit}", "--"], signal);
  return text !== undefined && /^\d+\s*$/.test(text) ? Number(text) : undefined;
}

/** Tells whether files changed, without the repository's own filters, which are programs. */
async function hasChanges(run: (args: readonly string[]) => Promise<string | undefined>): Promise<boolean> {
  const filters = await run(["config", "--show-scope", "--name-only", "--get-regexp", String.raw`^filter\.`]);
  const own = (filters ?? "").split("\n").flatMap((line) => {
    const [scope, name = ""] = line.split("\t");
    return scope === "local" || scope === "worktree" ? ["-c", `${name}=`] : [];
  });
  return (await run([...own, "status", "--porcelain", "--ignored"])) !== "";
}

type Ask = (...args: string[]) => Promise<string | undefined>;

async function findSource(ask: Ask): Promise<string | undefined> {
  const branch = await ask("symbolic-ref", "-q", "HEAD");
  const tracked = branch ? await ask("for-each-ref", "--format=%(upstream:remotename)", branch) : undefined;
  for (const remote of [tracked, "origin", "upstream"]) {
    const url = remote ? await ask("remote", "get-url", "--", remote) : undefined;
    if (url) return withoutCredentials(url);
  }
  return undefined;
}

/** Runs git and returns its output; `undefined` when it fails or is missing. */
async function answer(
  cwd: string,
  { env, guardPath }: Pick<GitProgram, "env" | "guardPath">,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string | undefined> {
  signal.throwIfAborted();
  const quiet = ["core.fsmonitor=false", "core.hooksPath=/dev/null", "log.showSignature=false", "core.pager=cat"];
  const words = ["guard", "git", ...quiet.flatMap((setting) => ["-c", setting]), ...args];
  const options = {
    cwd,
    env: { ...env, GIT_OPTIONAL_LOCKS: "0", GIT_NO_LAZY_FETCH: "1", GIT_TERMINAL_PROMPT: "0", LC_ALL: "C" },
    timeout: TIME_LIMIT,
    maxBuffer: 64 << 20,
    signal,
  };
  return new Promise((resolve, reject) => {
    execFile(guardPath, words, options, (error, stdout) => {
      if (signal.aborted) reject(signal.reason);
      else resolve(error === null ? stdout : undefined);
    });
  });
}
