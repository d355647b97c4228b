import { existsSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import { findLocalRepository } from "../../../solver/sources/git/local-repository.ts";
import type { BuildEnvironment } from "../environment.ts";
import type { BuildOptions } from "../options.ts";

/** The state of the repository around the context, in the forms for an image and its provenance. */
export interface GitFacts {
  readonly labels: Readonly<Record<string, string>>;
  /** `source`, `revision` and `localdir:NAME` for the folders of context and Dockerfile. */
  readonly vcs: Readonly<Record<string, string>>;
}

const NOTHING: GitFacts = { labels: {}, vcs: {} };

/**
 * Does what buildx's variables ask for: labels with `BUILDX_GIT_LABELS`, provenance unless `BUILDX_GIT_INFO=0`, the
 * suffix `-dirty` with `BUILDX_GIT_CHECK_DIRTY`. Git runs only when some of it is needed.
 */
export async function gitFacts(
  environment: BuildEnvironment,
  options: Pick<BuildOptions, "context" | "dockerfile" | "provenance" | "recordProvenance">,
  work: { readonly directory: string; readonly progress: ProgressSink; readonly env: Readonly<Record<string, string>> },
  signal: AbortSignal,
): Promise<GitFacts> {
  const { env, workingDirectory } = environment;
  const labels = env["BUILDX_GIT_LABELS"] ?? "";
  const wantsLabels = labels === "full" || isTrue(labels);
  const hasProvenance = options.provenance !== undefined || options.recordProvenance === "max";
  const wantsInfo = hasProvenance && !isFalse(env["BUILDX_GIT_INFO"] ?? "");
  const isLocal = resolve(workingDirectory, options.context) === work.directory;
  if (!isLocal || !(wantsLabels || wantsInfo)) return NOTHING;
  const own = ["XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "SUDO_UID"];
  const found = await findLocalRepository(
    work.directory,
    {
      env: { ...work.env, ...definedOf(env, own) },
      guardPath: environment.runtimePath,
      checkDirty: isTrue(env["BUILDX_GIT_CHECK_DIRTY"] ?? ""),
    },
    signal,
  );
  if (found === undefined) {
    if (wantsLabels && existsSync(join(work.directory, ".git"))) {
      const message = "The commit of the context was not captured by the build: git does not read its repository";
      const hint = "install git, or see whether `git status` works there";
      work.progress({ kind: "notice", level: "warning", message, hint });
    }
    return NOTHING;
  }
  const { root, source } = found;
  const revision = found.revision === undefined ? undefined : `${found.revision}${found.isDirty ? "-dirty" : ""}`;
  const dockerfile = await dockerfilePath(options.dockerfile, work.directory, workingDirectory);
  const entrypoint = inside(root, dockerfile);
  return {
    labels: wantsLabels
      ? present({
          "org.opencontainers.image.revision": revision,
          "org.opencontainers.image.source": source,
          "com.docker.image.source.entrypoint": entrypoint,
        })
      : {},
    vcs: wantsInfo
      ? present({
          source,
          revision,
          "localdir:context": inside(root, await realpath(work.directory)),
          "localdir:dockerfile": dockerfile === undefined ? undefined : inside(root, dirname(dockerfile)),
        })
      : {},
  };
}

/** Returns the Dockerfile's path; `undefined` when it is not a file of this machine. */
async function dockerfilePath(
  given: string | undefined,
  context: string,
  workingDirectory: string,
): Promise<string | undefined> {
  if (given === undefined) return join(await realpath(context), "Dockerfile");
  if (given === "-" || /^[a-z]+:\/\//.test(given)) return undefined;
  const path = resolve(workingDirectory, given);
  return existsSync(path) ? realpath(path) : undefined;
}

/** Returns the relative path, `.` for the folder itself; `undefined` for a path outside. */
function inside(root: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const way = relative(root, path);
  return way.startsWith("..") || isAbsolute(way) ? undefined : way || ".";
}

function present(values: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function definedOf(
  env: Readonly<Record<string, string | undefined>>,
  names: readonly string[],
): Record<string, string> {
  return present(Object.fromEntries(names.map((name) => [name, env[name]])));
}

// Go's strconv.ParseBool, which buildx uses.
function isTrue(text: string): boolean {
  return /^(?:1|t|T|TRUE|true|True)$/.test(text);
}

function isFalse(text: string): boolean {
  return /^(?:0|f|F|FALSE|false|False)$/.test(text);
}
