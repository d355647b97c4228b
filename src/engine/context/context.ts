import { existsSync, statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { BuildError } from "../../../lib/core/errors.ts";
import { hubUrl, parseGitUrl } from "../../../lib/core/git-url.ts";
import type { SourceText } from "../../../lib/core/span.ts";
import type { BuildOptions } from "../options.ts";
import type { ContextDeps, LoadedContext } from "./context-deps.ts";
import { dockerfileNames, findIgnoreFile, readSource } from "./context-files.ts";
import { dockerfileText } from "./dockerfile-text.ts";
import { refusePolicies } from "../policy.ts";
import { classicContext } from "./classic-context.ts";
import { download, fromGit, fromStream, fromUrl } from "./remote-context.ts";
import { withoutCredentials } from "../../../lib/core/credentials.ts";

/**
 * Loads the context: a directory, a tar or Dockerfile on standard input or behind a URL, or a git repository.
 * Everything but a directory is put into a scratch directory.
 */
export async function loadContext(
  options: Pick<BuildOptions, "context" | "contextRules" | "dockerfile" | "policy">,
  deps: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const given = await load(options, deps, signal);
  const context = options.contextRules === "classic" ? classicContext(given, deps) : given;
  if (options.policy !== "disabled") refusePolicies(options, context.directory, deps.environment);
  return context;
}

async function load(
  options: Pick<BuildOptions, "context" | "dockerfile">,
  deps: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const { context, dockerfile } = options;
  if (context === "-" && dockerfile === "-") {
    throw new BuildError("context/unsupported", "can't use stdin for both build context and dockerfile");
  }
  if (context === "-") return fromStream(deps.environment.stdin(), { name: "<stdin>", dockerfile }, deps, signal);
  // `github.com/user/repository` is a repository when there is no directory of that name.
  const hub = existsSync(resolve(deps.environment.workingDirectory, context)) ? undefined : hubUrl(context);
  const git = parseGitUrl(hub ?? context);
  if (git !== undefined) return fromGit(git, dockerfile, deps, signal);
  if (/^https?:\/\//.test(context)) return fromUrl(context, dockerfile, deps, signal);
  return fromDirectory(contextDirectory(context, deps), dockerfile, deps, signal);
}

function contextDirectory(context: string, deps: ContextDeps): string {
  const directory = resolve(deps.environment.workingDirectory, context);
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
  deps: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  if (dockerfile === "-") {
    const source = await dockerfileText(deps.environment.stdin(), "<stdin>", signal);
    return loaded(directory, source, await findIgnoreFile({ directory }, deps, signal));
  }
  if (dockerfile !== undefined && /^https?:\/\//.test(dockerfile)) {
    const { body } = await download(dockerfile, deps, signal);
    const source = await dockerfileText(body, withoutCredentials(dockerfile), signal);
    return loaded(directory, source, await findIgnoreFile({ directory }, deps, signal));
  }
  const base = dockerfile === undefined ? directory : deps.environment.workingDirectory;
  for (const name of dockerfileNames(dockerfile)) {
    const path = resolve(base, name);
    const source = await readSource(path, name, "a Dockerfile", signal);
    if (source === undefined) continue;
    return loaded(directory, source, await findIgnoreFile({ directory, dockerfile: path }, deps, signal));
  }
  const name = dockerfile ?? "Dockerfile";
  throw new BuildError("dockerfile/not-found", `failed to read dockerfile: open ${name}: no such file or directory`, {
    hint:
      dockerfile === undefined
        ? `put a Dockerfile into ${directory}, or name another file with -f`
        : "-f is relative to the working directory, not to the context",
  });
}

function loaded(directory: string, dockerfile: SourceText, ignoreFile: SourceText | undefined): LoadedContext {
  return { directory, dockerfile, ignoreFile, owners: "root" };
}
