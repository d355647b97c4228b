import type { ProgressSink } from "../../lib/core/progress.ts";
import { formatReference, parseReference } from "../../lib/core/reference.ts";
import { type OutputSpec, STORE_OUTPUT, withRewrittenTimes } from "../export/output-spec.ts";
import { TravellingMounts } from "./caches/cache-mounts.ts";
import { type CacheImports, openImports } from "./caches/remote-cache.ts";
import type { Engine } from "./engine.ts";
import { checkOutputs } from "./images/check-outputs.ts";
import { MovedBases, PULL_TTL_MS } from "./images/moved-bases.ts";
import type { BuildOptions } from "./options.ts";
import type { BuildReporter } from "./reporter.ts";
import { Scratch } from "./scratch.ts";
import { StageTrees } from "./stage-trees.ts";
import { SourceLock } from "./source-lock.ts";
import { checkSecrets } from "./secrets.ts";

/** A requested build, and the engine that runs it. */
interface BuildRequest {
  readonly engine: Engine;
  readonly options: BuildOptions;
  readonly progress: ProgressSink;
  readonly reporter: BuildReporter;
}

/** The parts of one build, which all its attempts share. Their opener disposes them when the build has ended. */
export interface BuildParts extends BuildRequest, AsyncDisposable {
  /** Full references for the result. */
  readonly names: readonly string[];
  readonly outputs: readonly OutputSpec[];
  readonly imports: CacheImports;
  readonly mounts: TravellingMounts;
  readonly scratch: Scratch;
  readonly moved: MovedBases;
  readonly lock: SourceLock | undefined;
  /** Present when files of stages are asked for. */
  readonly artifacts: StageTrees | undefined;
}

/** Some parts of a build, and of its engine. */
export type PartsOf<Part extends Exclude<keyof BuildParts, "engine">, EnginePart extends keyof Engine> = Pick<
  BuildParts,
  Part
> & { readonly engine: Pick<Engine, EnginePart> };

/**
 * Checks the options that can be checked before reading anything, and opens the parts.
 * @throws {BuildError} `export/failed`, `cli/usage`, `reference/malformed`, `secret/unreadable`
 */
export async function openParts(request: BuildRequest, signal: AbortSignal): Promise<BuildParts> {
  const { engine, options, progress } = request;
  const names = [...new Set((options.tags ?? []).map((tag) => formatReference(parseReference(tag))))];
  const wanted = options.outputs ?? [STORE_OUTPUT];
  const outputs = options.reproducible === true ? wanted.map(withRewrittenTimes) : wanted;
  checkOutputs(outputs, options, engine.environment);
  const lock = await SourceLock.open(options, engine.environment, signal);
  await checkSecrets(options.secrets ?? [], engine.environment);
  const imports = await openImports(options.cache, engine, progress, signal);
  const mounts = new TravellingMounts(engine, imports.remote, progress);
  const scratch = new Scratch(engine.scratchPath());
  const { images, environment: clock } = engine;
  const moved = new MovedBases({ images, progress, clock, asks: askingOf(options) }, signal);
  return {
    ...request,
    names,
    outputs,
    imports,
    mounts,
    scratch,
    moved,
    lock,
    artifacts: (options.artifacts ?? []).length === 0 ? undefined : new StageTrees(),
    async [Symbol.asyncDispose]() {
      imports.remote?.finish();
      await using _last = scratch;
      await moved[Symbol.asyncDispose]();
    },
  };
}

function askingOf({ pull, pullTtlMs, offline }: BuildOptions): "no" | { readonly ttlMs: number } {
  if (offline === true || pull === "never" || pull === "missing") return "no";
  return { ttlMs: pull === "newer" ? 0 : (pullTtlMs ?? PULL_TTL_MS) };
}
