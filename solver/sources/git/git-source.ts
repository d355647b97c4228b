import { type Access, accessTo } from "./git-access.ts";
import { lstat, lutimes, mkdir, mkdtemp, readdir, realpath, rename, rm } from "node:fs/promises";
import { join, sep } from "node:path";
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
  /** Where clones live while they are made, on the file system of the snapshots so that files can be moved. Made if missing. */
  readonly scratchDirectory: string;
  /** Asked for `GIT_AUTH_TOKEN` and `GIT_AUTH_HEADER`, first with `.host` behind. */
  readonly secrets: SecretSource;
  /** The socket `default` is used for ssh. */
  readonly ssh: SshSource;
}

/** What a ref names: `ref` is the full name to fetch, `undefined` for a commit that was given as such. */
interface Found {
  readonly commit: string;
  readonly ref: string | undefined;
  /** The object of an annotated tag. */
  readonly tag: string | undefined;
}

/** A repository's files at one commit, by the `git` program: ADD of a repository, and contexts. */
export function createGitSource(on: GitSourceDeps): RemoteSource<GitOp> {
  return {
    async find(given, signal): Promise<FoundSource> {
      checkText(given);
      await mkdir(on.scratchDirectory, { recursive: true, mode: 0o700 });
      const access = await accessTo(given.remote, on, signal);
      // What goes as a header need not stand in the list of processes.
      const op = access.secretConfig.length === 0 ? given : { ...given, remote: withoutCredentials(given.remote) };
      const found = await explained(op, () => findCommit(op, on, access, signal));
      checkCommit(op, found);
      return {
        parts: [
          { name: "commit", value: found.commit },
          { name: "subdir", value: op.subdir ?? "" },
          { name: "submodules", value: String(op.submodules) },
          { name: "mtime", value: op.mtime },
          // The kept .git tells where it came from and by which name.
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
          explained(op, () => checkOut({ op, found, directory }, on, access, writeSignal)),
        date: (dateSignal) => explained(op, () => commitTime({ op, found }, on, access, dateSignal)),
      };
    },
  };
}

async function findCommit(op: GitOp, on: GitSourceDeps, access: Access, signal: AbortSignal): Promise<Found> {
  const wanted = op.ref ?? "HEAD";
  if (isCommit(wanted)) return { commit: wanted, ref: undefined, tag: undefined };
  if (op.fetchByCommit === true) return foundByCommit(op);
  const output = await runGit(
    on.program,
    {
      // HEAD tells which kind of ids the repository has.
      args: ["ls-remote", "--symref", "--end-of-options", op.remote, wanted, `${wanted}^{}`, "HEAD"],
      repository: undefined,
      cwd: on.scratchDirectory,
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
  if (/^[0-9a-f]{7,63}$/.test(wanted)) return findAbbreviated(wanted, op, { ...on, format }, access, signal);
  throw unknownRef(wanted, op);
}

/**
 * A server answers for whole commit ids only, so all commits are fetched: without their files where the server can do that.
 * An endless depth is what a server of plain files refuses at once, and so does not become the source of a partial clone.
 */
async function findAbbreviated(
  wanted: string,
  op: GitOp,
  on: GitSourceDeps & { readonly format: readonly string[] },
  access: Access,
  signal: AbortSignal,
): Promise<Found> {
  const everything = ["--end-of-options", op.remote, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
  const find = async (...options: string[]): Promise<Found> => {
    const cwd = await mkdtemp(join(on.scratchDirectory, "git-"));
    try {
      const git = (...args: string[]): Promise<string> =>
        runGit(on.program, { args, repository: cwd, cwd, ...access }, signal);
      await git("init", "-q", "--bare", "--template=", ...on.format);
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

/** The options of `git init` for a repository with ids like this one. Git before 2.29 knows SHA-1 only. */
function formatOf(id: string): readonly string[] {
  return id.length === 64 ? ["--object-format=sha256"] : [];
}

/** @throws {BuildError} `source/git` without a whole id to fetch */
function foundByCommit(op: GitOp): Found {
  const commit = op.checksum?.toLowerCase() ?? "";
  if (!isCommit(commit)) {
    const why = op.checksum === undefined ? "a checksum or a commit as ref" : "a whole commit id as checksum";
    throw new BuildError("source/git", `Cannot use ${shownRemote(op)}: fetch-by-commit requires ${why}`);
  }
  // A name alone is a branch's, as in BuildKit.
  const ref = op.ref === undefined || op.ref.startsWith("refs/") ? op.ref : `refs/heads/${op.ref}`;
  return { commit, ref, tag: undefined };
}

/** The depth that git and its servers take for no limit. */
const ENDLESS_DEPTH = 2 ** 31 - 1;

function unknownRef(wanted: string, op: GitOp): BuildError {
  return new BuildError("source/git", `Cannot find ${JSON.stringify(wanted)} in ${shownRemote(op)}`, {
    hint: "it must be a branch, a tag, a full ref or a commit",
  });
}

async function checkOut(
  work: { readonly op: GitOp; readonly found: Found; readonly directory: string },
  on: GitSourceDeps,
  access: Access,
  signal: AbortSignal,
): Promise<void> {
  const { op, found } = work;
  const clone = await mkdtemp(join(on.scratchDirectory, "git-"));
  try {
    const git = gitIn(clone, on, access, signal);
    await git("init", "-q", ...formatOf(found.commit), ...(op.keepGitDir ? [] : ["--template="]));
    await git("remote", "add", "--", "origin", withoutCredentials(op.remote));
    await fetchCommit(op, found, git);
    // Detached also for a branch, as BuildKit leaves it.
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

/** The committer's time, for which no file is fetched where the server can leave them out. */
async function commitTime(
  { op, found }: { readonly op: GitOp; readonly found: Found },
  on: GitSourceDeps,
  access: Access,
  signal: AbortSignal,
): Promise<number> {
  const clone = await mkdtemp(join(on.scratchDirectory, "git-"));
  try {
    const git = gitIn(clone, on, access, signal);
    await git("init", "-q", "--template=", ...formatOf(found.commit));
    await fetchCommit(op, found, git, ["--filter=tree:0"]);
    return await shownTime(found, git);
  } finally {
    await rm(clone, { recursive: true, force: true });
  }
}

type Git = (...args: string[]) => Promise<string>;

/** Git, in the repository of a folder of ours. */
function gitIn(directory: string, on: GitSourceDeps, access: Access, signal: AbortSignal): Git {
  return (...args) =>
    runGit(on.program, { args, repository: join(directory, ".git"), cwd: directory, ...access }, signal);
}

async function shownTime(found: Found, git: Git): Promise<number> {
  return Number(await git("show", "-s", "--format=%ct", found.commit, "--"));
}

function keptRef({ commit, ref, tag }: Found): KeptRef | undefined {
  return ref === undefined ? undefined : { name: ref, object: tag ?? commit, isTag: tag !== undefined };
}

/** `shallowOptions` go with the requests that a server of plain files refuses. */
async function fetchCommit(op: GitOp, found: Found, git: Git, shallowOptions: readonly string[] = []): Promise<void> {
  // By commit first, so that a branch that moved since `find` still gives what the key says.
  const ways = [
    ["--depth=1", "--no-tags", ...shallowOptions, "--end-of-options", op.remote, found.commit],
    ...(found.ref === undefined
      ? []
      : [
          ["--depth=1", "--no-tags", ...shallowOptions, "--end-of-options", op.remote, `+${found.ref}:refs/kiln/found`],
        ]),
    // An old server that gives out neither, or one of plain files: everything it has.
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

/** Shallow ones, but where the server cannot give those. */
async function updateSubmodules(git: Git): Promise<void> {
  const update = ["submodule", "update", "--progress", "--init", "--recursive"];
  try {
    await git(...update, "--depth=1");
  } catch (error) {
    if (!(error instanceof GitFailure) || !/shallow|--depth|unadvertised|not our ref/.test(error.text)) throw error;
    await git(...update);
  }
}

/** @throws {BuildError} `source/git` when the folder is missing or outside, as through a symlink of the repository's. */
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

/** Submodules have `.git` files that point into the outer one. */
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

/** Only what git could take for something else is refused; git itself judges the rest. */
function checkText(op: GitOp): void {
  for (const text of [op.remote, op.ref, op.subdir]) {
    if (text?.startsWith("-") === true || /[\0\n]/.test(text ?? "")) {
      throw new BuildError("source/git", `Cannot use ${JSON.stringify(text)} with git: it is not a name`);
    }
  }
  // `ext::sh -c ...` and its kind run commands. The list of protocols stops them too; this says so in our words.
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
    // What follows a colon is on the next line.
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
