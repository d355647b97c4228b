import { closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** Limit of a file that is read, in bytes: `packed-refs` of a large repository. */
const MAX_BYTES = 1 << 20;
const COMMIT = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;

/**
 * Finds the checked-out commit of the repository around a folder, from git's files alone: three or four small reads,
 * no process. `undefined` where there is no repository, no commit, or another way to keep references.
 */
export function checkedOutCommit(directory: string): string | undefined {
  const git = findGit(directory);
  if (git === undefined) return undefined;
  const head = readText(join(git, "HEAD"))?.trim();
  if (head === undefined || COMMIT.test(head)) return head;
  const ref = /^ref: (refs\/[^\s]+)$/.exec(head)?.[1];
  if (ref === undefined || ref.split("/").includes("..")) return undefined;
  // A worktree has its own HEAD; branches are in the repository that it belongs to.
  const common = readText(join(git, "commondir"))?.trim();
  const folder = common === undefined ? git : resolve(git, common);
  const loose = readText(join(folder, ref))?.trim();
  if (loose !== undefined) return COMMIT.test(loose) ? loose : undefined;
  const packed = readText(join(folder, "packed-refs"));
  const line = packed?.split("\n").find((one) => one.endsWith(` ${ref}`));
  const commit = line?.split(" ")[0];
  return commit !== undefined && COMMIT.test(commit) ? commit : undefined;
}

/** Finds the repository's own folder: `.git`, or the one that a file of that name points at. */
function findGit(directory: string): string | undefined {
  for (let at = resolve(directory); ; at = dirname(at)) {
    const path = join(at, ".git");
    const status = statSync(path, { throwIfNoEntry: false });
    if (status?.isDirectory() === true) return path;
    if (status?.isFile() === true) {
      const target = /^gitdir: (.+)$/m.exec(readText(path) ?? "")?.[1];
      return target === undefined ? undefined : resolve(at, target);
    }
    if (at === dirname(at)) return undefined;
  }
}

/** Reads a small regular file; `undefined` for anything else. */
function readText(path: string): string | undefined {
  let fd: number;
  try {
    // A pipe of that name must not block.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined; // no such file, or no right to read it: the commit is not known
  }
  try {
    const status = fstatSync(fd);
    if (!status.isFile() || status.size > MAX_BYTES) return undefined;
    const bytes = Buffer.alloc(status.size);
    return bytes.toString("utf8", 0, readSync(fd, bytes));
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}
