import type { ProgressSink } from "../../lib/core/progress.ts";
import { type RemoteTexts, remoteTexts } from "./context/remote-context.ts";
import { Engine } from "./engine.ts";
import type { BuildEnvironment } from "./environment.ts";
import type { BuildOptions } from "./options.ts";
import { gitEnvironment, openSources } from "./prepare.ts";
import { Scratch } from "./scratch.ts";
import { shownStep } from "./shown-step.ts";

/**
 * Reads bake files from a repository or URL, with the credentials of a build from there.
 * @param names paths in a repository or an archive
 */
export async function readRemoteDefinition(
  source: Pick<BuildOptions, "context" | "secrets" | "ssh" | "offline"> & { readonly names: readonly string[] },
  environment: BuildEnvironment,
  progress: ProgressSink,
  signal: AbortSignal,
): Promise<RemoteTexts> {
  const { names, ...options } = source;
  await using engine = new Engine(environment, { progress, offline: options.offline === true });
  await using scratch = new Scratch(engine.scratchPath());
  const parts = { engine, options, progress, scratch };
  const { git, secrets } = await openSources(parts, gitEnvironment(environment.env), signal);
  const deps = {
    environment,
    native: engine.native,
    git,
    fetch: engine.fetch,
    secrets,
    keepGitDir: false,
    commitTimes: false,
    scratchDirectory: () => scratch.directory(),
    notice: (message: string) => progress({ kind: "notice", level: "warning", message, hint: undefined }),
  };
  return await shownStep("[internal] load remote bake definitions", { progress, clock: environment }, () =>
    remoteTexts(options.context, names, deps, signal),
  );
}
