import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { commitTimeOf } from "../../../solver/sources/git/local-repository.ts";
import type { GitProgram } from "../../../solver/sources/git/run-git.ts";
import type { LoadedContext } from "./context-deps.ts";

/**
 * Finds the date of a reproducible build that is given none, in seconds since 1970: that of the context's commit, in a
 * repository of this machine or elsewhere, and else 0. Times of files are none: two copies need not have the same.
 * @param local directory of a context of this machine
 */
export async function defaultDate(
  { commitDate }: Pick<LoadedContext, "commitDate">,
  local: string | undefined,
  git: Pick<GitProgram, "env" | "guardPath"> & { readonly warn: (message: string) => void },
  signal: AbortSignal,
): Promise<number> {
  if (commitDate !== undefined) return (await commitDate(signal)) ?? 0;
  if (local === undefined) return 0;
  const found = await commitTimeOf(local, git, signal);
  if (found === undefined && isInRepository(local)) {
    git.warn(
      "The image is dated 1970: git does not tell the commit of the context. SOURCE_DATE_EPOCH gives another date",
    );
  }
  return found ?? 0;
}

function isInRepository(directory: string): boolean {
  if (existsSync(join(directory, ".git"))) return true;
  const above = dirname(directory);
  return above !== directory && isInRepository(above);
}
