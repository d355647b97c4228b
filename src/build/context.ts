import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { BuildError, errnoOf } from "../core/errors.ts";
import { parseGitUrl } from "../core/git-url.ts";
import { SourceText } from "../core/span.ts";
import type { BuildOptions } from "./options.ts";
import { type ContextDeps, type LoadedContext, MAX_DOCKERFILE_BYTES, tooLarge } from "./context-deps.ts";
import { withoutCredentials } from "../../solver/sources/git/run-git.ts";
import { dockerfileText } from "./dockerfile-text.ts";
import { refusePolicies } from "./policy.ts";
import { download, fromGit, fromStream, fromUrl } from "./remote-context.ts";

/**
 * Reads what `kiln build` was pointed at: a directory, a tar or Dockerfile on standard input or behind a URL, or a git
 * repository. Whatever is not a directory is put into a scratch directory of `on`.
 */
export async function loadContext(
  options: Pick<BuildOptions, "context" | "dockerfile" | "policy">,
  on: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const context = await load(options, on, signal);
  if (options.policy !== "disabled") refusePolicies(options, context.directory, on.environment);
  return context;
}

async function load(
  options: Pick<BuildOptions, "context" | "dockerfile">,
  on: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const { context, dockerfile } = options;
  if (context === "-" && dockerfile === "-") {
    throw new BuildError("context/unsupported", "can't use stdin for both build context and dockerfile");
  }
  if (context === "-") return fromStream(on.environment.stdin(), { name: "<stdin>", dockerfile }, on, signal);
  // `github.com/user/repository` is a repository when no directory of that name is there.
  const isHub =
    /^github\.com\/[^/]+\/[^/]+$/.test(context) && !existsSync(resolve(on.environment.workingDirectory, context));
  const git = parseGitUrl(isHub ? `https://${context}.git` : context);
  if (git !== undefined) return fromGit(git, dockerfile, on, signal);
  if (/^https?:\/\//.test(context)) return fromUrl(context, dockerfile, on, signal);
  return fromDirectory(contextDirectory(context, on), dockerfile, on, signal);
}

function contextDirectory(context: string, on: ContextDeps): string {
  const directory = resolve(on.environment.workingDirectory, context);
  const status = statSync(directory, { throwIfNoEntry: false });
  if (status === undefined) {
    throw new BuildError("context/not-found", `path ${JSON.stringify(context)} not found`, {
      hint: "the last argument of `kiln build` is the directory with the files to build from",
    });
  }
  if (status.isDirectory()) return directory;
  throw new BuildError("context/unsupported", `Cannot use ${JSON.stringify(context)} as build context: it is a file`, {
    hint: basename(directory).toLowerCase().includes("dockerfile")
      ? `give the Dockerfile with -f and its directory as context: kiln build -f ${context} ${dirname(context)}`
      : "give a directory, a URL, or - for standard input",
  });
}

async function fromDirectory(
  directory: string,
  dockerfile: string | undefined,
  on: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  if (dockerfile === "-") {
    const source = await dockerfileText(on.environment.stdin(), "<stdin>", signal);
    return loaded(directory, source, await rootIgnoreFile(directory, signal));
  }
  if (dockerfile !== undefined && /^https?:\/\//.test(dockerfile)) {
    const { body } = await download(dockerfile, on, signal);
    const source = await dockerfileText(body, withoutCredentials(dockerfile), signal);
    return loaded(directory, source, await rootIgnoreFile(directory, signal));
  }
  const path = dockerfilePath(directory, dockerfile, on.environment.workingDirectory);
  const source = await readDockerfile(path, directory, dockerfile, signal);
  const own = `${path}.dockerignore`;
  const ignoreFile = (await readSource(own, basename(own), signal)) ?? (await rootIgnoreFile(directory, signal));
  return loaded(directory, source, ignoreFile);
}

function loaded(directory: string, dockerfile: SourceText, ignoreFile: SourceText | undefined): LoadedContext {
  return { directory, dockerfile, ignoreFile, owners: "root" };
}

/** A `-f` path is relative to the working directory; without one the context has a `Dockerfile` or a `dockerfile`. */
function dockerfilePath(directory: string, given: string | undefined, workingDirectory: string): string {
  if (given !== undefined) return resolve(workingDirectory, given);
  const usual = join(directory, "Dockerfile");
  if (existsSync(usual)) return usual;
  const lower = join(directory, "dockerfile");
  return existsSync(lower) ? lower : usual;
}

async function readDockerfile(
  path: string,
  directory: string,
  given: string | undefined,
  signal: AbortSignal,
): Promise<SourceText> {
  const name = given ?? basename(path);
  const source = await readSource(path, name, signal);
  if (source !== undefined) return source;
  throw new BuildError("dockerfile/not-found", `failed to read dockerfile: open ${name}: no such file or directory`, {
    hint:
      given === undefined
        ? hintWithoutDockerfile(directory)
        : "-f is relative to the working directory, not to the context",
  });
}

/** What podman and buildah look for first, docker does not look for at all. */
function hintWithoutDockerfile(directory: string): string {
  const other = join(directory, "Containerfile");
  return existsSync(other)
    ? `name it: -f ${other}`
    : `put a Dockerfile into ${directory}, or name another file with -f`;
}

async function rootIgnoreFile(directory: string, signal: AbortSignal): Promise<SourceText | undefined> {
  return readSource(join(directory, ".dockerignore"), ".dockerignore", signal);
}

/** `undefined` when there is no such file. */
async function readSource(path: string, name: string, signal: AbortSignal): Promise<SourceText | undefined> {
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    if (status === undefined) return undefined;
    if (status.isDirectory()) {
      throw new BuildError("dockerfile/not-found", `Cannot read ${JSON.stringify(name)}: it is a directory`);
    }
    if (status.size > MAX_DOCKERFILE_BYTES) {
      throw tooLarge(name);
    }
    // Without waiting for a thread, unless it is a pipe, whose writer may keep us waiting.
    if (status.isFile()) return new SourceText(name, readFileSync(path, "utf8"));
    return await dockerfileText(createReadStream(path), name, signal);
  } catch (error) {
    if (errnoOf(error) !== "EACCES") throw error;
    throw new BuildError("context/unreadable", `Cannot read ${JSON.stringify(name)}: permission denied`, {
      cause: error,
    });
  }
}
