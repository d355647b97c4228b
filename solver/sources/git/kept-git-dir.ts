import { rm } from "node:fs/promises";
import { join } from "node:path";

/** The ref that a checkout was asked for. */
export interface KeptRef {
  /** `refs/heads/main`, `refs/tags/v1`, or any other ref of the remote. */
  readonly name: string;
  /** Its object: a commit, or an annotated tag. */
  readonly object: string;
  readonly isTag: boolean;
}

/**
 * Prepares a `.git` that stays beside its files. It contains the branch or tag that was asked for, so that `git
 * describe` and `git branch` know it, and no trace of how it was fetched. It has no other refs: later tags would change
 * the files of an unchanged commit.
 */
export async function keepGitDir(
  clone: { readonly directory: string; readonly remote: string },
  ref: KeptRef | undefined,
  git: (...args: string[]) => Promise<string>,
): Promise<void> {
  if (ref !== undefined && /^refs\/(?:heads|tags)\//.test(ref.name)) {
    const { name, object } = ref;
    // An annotated tag does not come with its commit.
    if (ref.isTag)
      await git("fetch", "--progress", "--depth=1", "--no-tags", "--end-of-options", clone.remote, `+${name}:${name}`);
    await git("update-ref", "--no-deref", name, object);
  }
  await rm(join(clone.directory, ".git/FETCH_HEAD"), { force: true });
  await rm(join(clone.directory, ".git/refs/kiln"), { recursive: true, force: true });
}
