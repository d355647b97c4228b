import { type Access, accessTo } from "./git-access.ts";
import { lstat, lutimes, mkdir, mkdtemp, readdir, realpath, rename, rm } from "node:fs/promises";
import { join, sep } from "node:path";
import { debug, timed } from "../../../lib/core/debug.ts";
import { BuildError, errnoOf } from "../../../lib/core/errors.ts";
import { cleanPath } from "../../../lib/core/patterns/clean-path.ts";
import { isCommit } from "../../../lib/core/git-url.ts";
import type { GitOp } from "../../graph/op.ts";
import type { FoundSource, RemoteSource, SecretSource, SshSource } from "../../ports.ts";
import { type KeptRef, keepGitDir } from "./kept-git-dir.ts";
import { GitFailure, type GitProgram, runGit } from "./run-git.ts";
import { withoutCredentials } from "../../../lib/core/credentials.ts";

export interface GitSourceDeps {
  readonly program: GitProgram;
  /**
   * Directory for unfinished clones, on the file system of the snapshots so that files can be moved. Made if missing.
   */
  readonly scratchDirectory: string;
  /** Source of `GIT_AUTH_TOKEN` and `GIT_AUTH_HEADER`, first with the suffix `.host`. */
  readonly secrets: SecretSource;
  /** Source of the socket `default` for ssh. */
  readonly ssh: SshSource;
}

/** The result of resolving a ref: `ref` is the full name to fetch, `undefined` for a commit given as such. */
interface Found {
  readonly commit: string;
  readonly ref: string | undefined;
  /** Id of an annotated tag. */
  readonly tag: string | undefined;
}

/** Makes the source of a repository's files at one commit, with the `git` program, for ADD and contexts. */
export function createGitSource(deps: GitSourceDeps): RemoteSource<GitOp> {
  return {
    async find(given, signal): Promise<FoundSource> {
      checkText(given);
      await mkdir(deps.scratchDirectory, { recursive: true, mode: 0o700 });
      const access = await accessTo(given.remote, deps, signal);
      // Credentials that go as a header must not appear in the list of processes.
      const op = access.secretConfig.length === 0 ? given : { ...given, remote: withoutCredentials(given.remote) };
      const found = await timed(
        "sources",
        () => `ask ${shownRemote(op)}`,
        () => explained(op, () => findCommit(op, deps, access, signal)),
      );
      debug("sources", () => `${shownRemote(op)} is at ${found.commit}`);
      checkCommit(op, found);
      return {
        parts: [
          { name: "commit", value: found.commit },
          { name: "subdir", value: op.subdir ?? "" },
          { name: "submodules", value: String(op.submodules) },
          { name: "mtime", value: op.mtime },
          // The kept .git contains its remote and the ref's name.
          ...(op.keepGitDir
            ? [
                {
                  name: ".git",
                  value: `${withoutCredentials(op.remote)} ${found.ref ?? ""} ${found.tag ?? ""}`.trimEnd(),
                },
              ]
            : []),
        ],
        writeTo: (directory, writeSignal) =>
          timed(
            "sources",
            () => `check out ${shownRemote(op)}`,
            () => explained(op, () => checkOut({ op, found, directory }, deps, access, writeSignal)),
          ),
        date: (dateSignal) => explained(op, () => commitTime({ op, found }, deps, access, dateSignal)),
      };
    },
  };
}

async function findCommit(op: GitOp, deps: GitSourceDeps, access: Access, signal: AbortSignal): Promise<Found> {
  const wanted = op.ref ?? "HEAD";
  if (isCommit(wanted)) return { commit: wanted, ref: undefined, tag: undefined };
  if (op.fetchByCommit === true) return foundByCommit(op);
  const output = await runGit(
    deps.program,
    {
      // HEAD shows the kind of ids that the repository has.
      args: ["ls-remote", "--symref", "--end-of-options", op.remote, wanted, `${wanted}^{}`, "HEAD"],
      repository: undefined,
      cwd: deps.scratchDirectory,
      ...access,
    },
    signal,
  );
  const refs = new Map<string, string>();
  const links = new Map<string, string>();
  for (const line of output.split("\n")) {
    const [object = "", name = ""] = line.split("\t");
    if (object.startsWith("ref: ")) links.set(name, object.slice("ref: ".length));
    else if (name !== "") refs.set(name, object);
  }
  // Branches before tags, as git checkout does.
  for (const name of [wanted, `refs/heads/${wanted}`, `refs/tags/${wanted}`, `refs/${wanted}`]) {
    const object = refs.get(name);
    if (object === undefined) continue;
    const peeled = refs.get(`${name}^{}`);
    return { commit: peeled ?? object, ref: links.get(name) ?? name, tag: peeled === undefined ? undefined : object };
  }
  const format = formatOf([...refs.values()][0] ?? "");
  if (/^[0-9a-f]{7,63}$/.test(wanted)) return findAbbreviated(wanted, op, { ...deps, format }, access, signal);
  throw unknownRef(wanted, op);
}

/**
 * Resolves an abbreviated commit id. A server answers for whole ids only, so all commits are fetched: without their
 * files where the server can do that. A server of plain files refuses an endless depth at once, and so does not become
 * the source of a partial clone.
 */
async function findAbbreviated(
  wanted: string,
  op: GitOp,
  deps: GitSourceDeps & { readonly format: readonly string[] },
  access: Access,
  signal: AbortSignal,
): Promise<Found> {
  const everything = ["--end-of-options", op.remote, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
  const find = async (...options: string[]): Promise<Found> => {
    const cwd = await mkdtemp(join(deps.scratchDirectory, "git-"));
    try {
      const git = (...args: string[]): Promise<string> =>
        runGit(deps.program, { args, repository: cwd, cwd, ...access }, signal);
      await git("init", "-q", "--bare", "--template=", ...deps.format);
      await git("fetch", "--progress", ...options, ...everything);
      const commit = await git("rev-parse", "--verify", "-q", "--end-of-options", `${wanted}^{commit}`).catch(
        (error: unknown) => {
          throw error instanceof GitFailure ? unknownRef(wanted, op) : error;
        },
      );
      return { commit: commit.trim(), ref: undefined, tag: undefined };
    } finally {
      await rm(cwd, { recursive: true, force: true });
    }
  };
  try {
    return await find("--filter=tree:0", `--depth=${ENDLESS_DEPTH}`);
  } catch (error) {
    if (!(error instanceof GitFailure)) throw error;
    return find();
  }
}

/** Returns the options of `git init` for a repository with ids like this one. Git before 2.29 knows SHA-1 only. */
function formatOf(id: string): readonly string[] {
  return id.length === 64 ? ["--object-format=sha256"] : [];
}

/**
 * Makes the result for `fetchByCommit`.
 * @throws {BuildError} `source/git` without a whole id to fetch
 */
function foundByCommit(op: GitOp): Found {
  const commit = op.checksum?.toLowerCase() ?? "";
  if (!isCommit(commit)) {
    const why = op.checksum === undefined ? "a checksum or a commit as ref" : "a whole commit id as checksum";
    throw new BuildError("source/git", `Cannot use ${shownRemote(op)}: fetch-by-commit requires ${why}`);
  }
  // A bare name is a branch's, as in BuildKit.
  const ref = op.ref === undefined || op.ref.startsWith("refs/") ? op.ref : `refs/heads/${op.ref}`;
  return { commit, ref, tag: undefined };
}

/** The depth that git and its servers treat as no limit. */
const ENDLESS_DEPTH = 2 ** 31 - 1;

function unknownRef(wanted: string, op: GitOp): BuildError {
  return new BuildError("source/git", `Cannot find ${JSON.stringify(wanted)} in ${shownRemote(op)}`, {
    hint: "it must be a branch, a tag, a full ref or a commit",
  });
}

async function checkOut(
  work: { readonly op: GitOp; readonly found: Found; readonly directory: string },
  deps: GitSourceDeps,
  access: Access,
  signal: AbortSignal,
): Promise<void> {
  const { op, found } = work;
  const clone = await mkdtemp(join(deps.scratchDirectory, "git-"));
  try {
    const git = gitIn(clone, deps, access, signal);
    await git("init", "-q", ...formatOf(found.commit), ...(op.keepGitDir ? [] : ["--template="]));
    await git("remote", "add", "--", "origin", withoutCredentials(op.remote));
    await fetchCommit(op, found, git);
    // Detached even for a branch, as in BuildKit.
    await git("checkout", "--progress", "--detach", found.commit, "--");
    if (op.submodules) await updateSubmodules(git);
    const time = op.mtime === "commit" ? await shownTime(found, git) : undefined;
    if (op.keepGitDir) await keepGitDir({ directory: clone, remote: op.remote }, keptRef(found), git);
    else await removeGitDirs(clone);
    const source = await folderInside(clone, op);
    for (const name of await readdir(source)) {
      signal.throwIfAborted();
      await rename(join(source, name), join(work.directory, name));
    }
    if (time !== undefined) await setTimes(work.directory, time, signal);
  } finally {
    await rm(clone, { recursive: true, force: true });
  }
}

/** Returns the committer's time, without fetching files where the server can leave them out. */
async function commitTime(
  { op, found }: { readonly op: GitOp; readonly found: Found },
  deps: GitSourceDeps,
  access: Access,
  signal: AbortSignal,
): Promise<number> {
  const clone = await mkdtemp(join(deps.scratchDirectory, "git-"));
  try {
    const git = gitIn(clone, deps, access, signal);
    await git("init", "-q", "--template=", ...formatOf(found.commit));
    await fetchCommit(op, found, git, ["--filter=tree:0"]);
    return await shownTime(found, git);
  } finally {
    await rm(clone, { recursive: true, force: true });
  }
}

type Git = (...args: string[]) => Promise<string>;

/** Runs git in the repository of a folder of ours. */
function gitIn(directory: string, deps: GitSourceDeps, access: Access, signal: AbortSignal): Git {
  return (...args) =>
    runGit(deps.program, { args, repository: join(directory, ".git"), cwd: directory, ...access }, signal);
}

async function shownTime(found: Found, git: Git): Promise<number> {
  return Number(await git("show", "-s", "--format=%ct", found.commit, "--"));
}

function keptRef({ commit, ref, tag }: Found): KeptRef | undefined {
  return ref === undefined ? undefined : { name: ref, object: tag ?? commit, isTag: tag !== undefined };
}

/** Fetches the commit. `shallowOptions` go with the requests that a server of plain files refuses. */
async function fetchCommit(op: GitOp, found: Found, git: Git, shallowOptions: readonly string[] = []): Promise<void> {
  // By commit first, so that a branch that moved since `find` still gives the commit of the key.
  const ways = [
    ["--depth=1", "--no-tags", ...shallowOptions, "--end-of-options", op.remote, found.commit],
    ...(found.ref === undefined
      ? []
      : [
          ["--depth=1", "--no-tags", ...shallowOptions, "--end-of-options", op.remote, `+${found.ref}:refs/kiln/found`],
        ]),
    // For an old server that gives out neither, or one of plain files: fetch everything it has.
    [
      ...["--end-of-options", op.remote, "+refs/heads/*:refs/kiln/heads/*", "+refs/tags/*:refs/kiln/tags/*"],
      ...(found.ref === undefined || /^(?:HEAD$|refs\/(?:heads|tags)\/)/.test(found.ref)
        ? []
        : [`+${found.ref}:refs/kiln/found`]),
    ],
  ];
  let failure: unknown;
  for (const way of ways) {
    try {
      await git("fetch", "--progress", ...way);
      await git("cat-file", "-e", `${found.commit}^{commit}`);
      return;
    } catch (error) {
      if (!(error instanceof GitFailure)) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

/** Updates submodules, shallow where the server supports it. */
async function updateSubmodules(git: Git): Promise<void> {
  const update = ["submodule", "update", "--progress", "--init", "--recursive"];
  try {
    await git(...update, "--depth=1");
  } catch (error) {
    if (!(error instanceof GitFailure) || !/shallow|--depth|unadvertised|not our ref/.test(error.text)) throw error;
    await git(...update);
  }
}

/**
 * Resolves the folder.
 * @throws {BuildError} `source/git` when it is missing or outside, for example through a symlink of the repository
 */
async function folderInside(clone: string, op: GitOp): Promise<string> {
  const subdir = cleanPath(`/${op.subdir ?? ""}`).slice(1);
  if (subdir === "") return clone;
  const root = await realpath(clone);
  const folder = await realpath(join(root, subdir)).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  });
  const isInside = folder !== undefined && (folder === root || folder.startsWith(root + sep));
  if (!isInside || !(await lstat(folder)).isDirectory()) {
    throw new BuildError(
      "source/git",
      `Cannot use folder ${JSON.stringify(subdir)} of ${shownRemote(op)}: there is none`,
    );
  }
  return folder;
}

/** Removes .git; submodules have `.git` files that point into the outer one. */
async function removeGitDirs(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.name === ".git") await rm(path, { recursive: true, force: true });
    else if (entry.isDirectory()) await removeGitDirs(path);
  }
}

async function setTimes(directory: string, seconds: number, signal: AbortSignal): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    signal.throwIfAborted();
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await setTimes(path, seconds, signal);
    await lutimes(path, seconds, seconds);
  }
}

/** Refuses texts that git would misinterpret; git itself judges the rest. */
function checkText(op: GitOp): void {
  for (const text of [op.remote, op.ref, op.subdir]) {
    if (text?.startsWith("-") === true || /[\0\n]/.test(text ?? "")) {
      throw new BuildError("source/git", `Cannot use ${JSON.stringify(text)} with git: it is not a name`);
    }
  }
  // `ext::sh -c ...` and similar URLs run commands. The list of protocols stops them too; this gives a clear error.
  if (/^[a-z0-9]+::/i.test(op.remote)) {
    throw new BuildError("source/git", `Cannot fetch ${shownRemote(op)}: remote helpers are not allowed`);
  }
}

function checkCommit(op: GitOp, found: Found): void {
  const wanted = op.checksum?.toLowerCase();
  if (wanted === undefined) return;
  if (!/^[0-9a-f]{1,64}$/.test(wanted)) {
    throw new BuildError(
      "source/git",
      `Cannot use checksum ${JSON.stringify(op.checksum)}: it is not the hex id of a commit`,
    );
  }
  if (found.commit.startsWith(wanted) || found.tag?.startsWith(wanted) === true) return;
  const got = found.tag === undefined ? found.commit : `${found.tag} or ${found.commit}`;
  throw new BuildError("source/git", `Cannot use ${shownRemote(op)}: expected checksum to match ${wanted}, got ${got}`);
}

async function explained<T>(op: GitOp, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof GitFailure)) throw error;
    // The text after a colon is on the next line.
    const lines = error.text.replace(/:\n(?!fatal:|error:|remote:)/g, ": ").split("\n");
    const last =
      lines.findLast((line) => /^(?:fatal|error):/.test(line)) ??
      lines.findLast((line) => line.startsWith("remote:")) ??
      error.text;
    throw new BuildError("source/git", `Cannot fetch ${shownRemote(op)}: ${last.replace(/^(?:fatal|error): /, "")}`, {
      detail: error.text,
      hint: hintFor(error.text),
      cause: error,
    });
  }
}

function hintFor(text: string): string | undefined {
  if (text.includes("Host key verification failed"))
    return "make the server known: ssh-keyscan HOST >> ~/.ssh/known_hosts, once you have compared its key";
  return /could not read Username|Authentication failed|Permission denied|403/.test(text)
    ? "give credentials with --secret id=GIT_AUTH_TOKEN,... or --ssh default"
    : undefined;
}

function shownRemote(op: GitOp): string {
  return JSON.stringify(withoutCredentials(op.remote));
}
