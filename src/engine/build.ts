import { resolve } from "node:path";
import { parseReference, familiarReference } from "../../lib/core/reference.ts";
import { withoutCredentials } from "../../lib/core/credentials.ts";
import { debug, timed } from "../../lib/core/debug.ts";
import { messageOf } from "../../lib/core/errors.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { Exported } from "../export/exporter.ts";
import { warnOfManyLayers } from "../export/layer-count.ts";
import { lostLayer } from "../../solver/schedule/lost-layer.ts";
import { checkAfterRestart } from "./after-restart.ts";
import { recordedProvenance } from "./attest/attested-result.ts";
import { type BuildParts, openParts } from "./build-parts.ts";
import { checkedOutCommit } from "./context/checked-out-commit.ts";
import { collectAfterBuild } from "./collect.ts";
import { Engine } from "./engine.ts";
import type { BuildEnvironment } from "./environment.ts";
import { exportBuild } from "./export-build.ts";
import { warnOfUnusedRewrite } from "./images/check-outputs.ts";
import { earlyPush } from "./images/early-push.ts";
import { LayerPacker } from "./images/layer-packer.ts";
import { BasesMoved, type MovedBase } from "./images/moved-bases.ts";
import type { BuildResult } from "./build-result.ts";
import type { BuildOptions } from "./options.ts";
import { loadingStep, type PreparedBuild, prepareBuild } from "./prepare.ts";
import type { BuildRecord } from "./report.ts";
import { BuildReporter, type FinishedBuild, reported } from "./reporter.ts";
import { type SolvedBuild, solveBuild } from "./solve-build.ts";

/**
 * Builds an image: the whole of kiln as one function. The command line adds flags and a display.
 * @throws {BuildError} with the reason in its `code`; the store is then unchanged, except for the steps that succeeded
 */
export async function build(
  options: BuildOptions,
  environment: BuildEnvironment,
  signal: AbortSignal,
): Promise<BuildResult> {
  const progress: ProgressSink = options.progress ?? (() => {});
  await using warm = openBuildEngine(options, environment);
  const { engine } = warm;
  warm.hear(progress);
  await checkAfterRestart(engine, progress, signal);
  const result = await buildWith(warm, options, signal);
  if (result.steps.cached < result.steps.total) {
    await timed("engine", "collect", () => collectAfterBuild(engine, progress, signal));
  }
  return result;
}

/** An engine for one build after the other. */
export interface BuildEngine extends AsyncDisposable {
  readonly engine: Engine;
  /** Sets the receiver of what the engine tells from now on. */
  hear(progress: ProgressSink): void;
}

/** Opens an engine with what builds of these options need. */
export function openBuildEngine(options: BuildOptions, environment: BuildEnvironment): BuildEngine {
  let sink: ProgressSink = () => {};
  const engine = new Engine(environment, {
    progress: (event) => sink(event),
    insecureRegistries: insecureRegistries(options),
    offline: options.offline === true,
    accounts: { file: options.accountFile },
    remoteAccess: options.remote?.access,
  });
  debug("engine", () => `the store is ${engine.store.root}`);
  return {
    engine,
    hear: (progress) => {
      sink = progress;
    },
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

/**
 * Builds with an open engine, for a process that builds again and again. It neither looks after a restart of the machine nor
 * collects garbage: its caller does.
 */
export async function buildWith(warm: BuildEngine, options: BuildOptions, signal: AbortSignal): Promise<BuildResult> {
  const { engine } = warm;
  const { environment } = engine;
  const startedAtMs = environment.nowMs();
  const about = {
    id: [startedAtMs.toString(36), environment.pid, ...(options.part === undefined ? [] : [options.part])].join("-"),
    startedAtMs,
    context: withoutCredentials(options.context),
    target: options.target,
    tags: options.tags ?? [],
  };
  const reporter = new BuildReporter(about, {
    options,
    place: placeOf(options, environment),
    tick: () => performance.now(),
  });
  const progress = reporter.beside(options.progress ?? (() => {}));
  warm.hear(progress);
  return reported(reporter, { store: engine.store, onReport: options.onReport }, async () => {
    await using parts = await openParts({ engine, options, progress, reporter }, signal);
    return await withArtifacts(parts, () => runBuild(parts, signal), signal);
  });
}

/** Finds where a local context is, and what is checked out there. */
function placeOf(
  { context }: BuildOptions,
  { workingDirectory }: BuildEnvironment,
): Pick<BuildRecord, "directory" | "commit"> {
  if (context === "-" || URL.canParse(context)) return {};
  const directory = resolve(workingDirectory, context);
  return { directory, commit: checkedOutCommit(directory) };
}

/** Writes the files of stages that are asked for, however `work` ends. */
async function withArtifacts<T>(parts: BuildParts, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  if (parts.artifacts === undefined) return work();
  const { writeArtifacts } = await import("./artifacts.ts");
  try {
    const result = await work();
    await writeArtifacts(parts, parts.artifacts, "succeeded", signal);
    return result;
  } catch (error) {
    // What ends the build stays its error.
    if (!parts.artifacts.isWritten && !signal.aborted) await writeArtifacts(parts, parts.artifacts, "failed", signal);
    throw error;
  }
}

/** Prepares, solves and exports; begins again when something that the attempt relied on has disappeared. */
async function runBuild(parts: BuildParts, signal: AbortSignal): Promise<BuildResult> {
  let prepared = await timed("engine", "prepare", () => prepareBuild(parts, signal));
  const { digest, dockerfile } = prepared.context;
  parts.reporter.loaded({ dockerfile: dockerfile.name, commit: digest?.["sha1"] });
  tellFindings(prepared, parts);
  warnOfUnusedRewrite(prepared.conversions, parts.outputs, parts.progress);
  const refused = new Set<SnapshotId>();
  for (;;) {
    try {
      await using packer = new LayerPacker(parts.engine, signal);
      // What is to be verified is not sent before.
      await using early = parts.options.verify === true ? undefined : earlyPush(parts, packer, signal);
      const attempt = prepared;
      const work = { packer, early };
      const made = await timed("engine", "solve", () => solveBuild(attempt, parts, work, signal));
      parts.lock?.write();
      if (parts.options.verify === true) {
        const { verifyBuild } = await import("./verify-build.ts");
        await timed("engine", "verify", () => verifyBuild(made, parts, signal));
      }
      const solved = parts.options.squash === true ? await squash(made, parts, signal) : made;
      warnOfManyLayers(solved.result, parts.progress);
      const exported = await timed("engine", "export", () => exportBuild(solved, parts, work, signal));
      const result = resultOf(solved, exported, parts);
      parts.reporter.finished(finishedFacts(solved, result));
      return result;
    } catch (error) {
      signal.throwIfAborted();
      debug("engine", () => `this attempt failed: ${messageOf(error)}`);
      prepared = await prepareAgain(error, prepared, refused, parts);
    }
  }
}

/** Reports what the build checks found, for displays that programs read. */
function tellFindings({ conversions }: PreparedBuild, { engine, options, progress }: BuildParts): void {
  for (const { rule, message, description, url, span } of conversions[0]?.warnings ?? []) {
    const lines = [span.start.line, span.end.line] as const;
    const finding = { rule, message, description, url, file: span.source.name, lines };
    progress({ kind: "finding", id: loadingStep(options), finding, atMs: engine.environment.nowMs() });
  }
}

async function squash(solved: SolvedBuild, parts: BuildParts, signal: AbortSignal): Promise<SolvedBuild> {
  const { squashed } = await import("./squash.ts");
  return timed("engine", "squash", () => squashed(solved, parts, signal));
}

/**
 * Prepares the next attempt after a failure that it will not meet: with the present base images, or without the missing
 * cached layer, so that its step runs.
 * @param refused layers that earlier attempts did without; gets one more
 * @throws the error itself where another attempt would fail as well
 */
async function prepareAgain(
  error: unknown,
  prepared: PreparedBuild,
  refused: Set<SnapshotId>,
  { engine, imports, progress }: BuildParts,
): Promise<PreparedBuild> {
  if (error instanceof BasesMoved) {
    tellMoved(error.bases, progress);
    return prepared.again(error.bases);
  }
  const lost = lostLayer(error);
  if (lost === undefined || refused.has(lost.layer)) throw error;
  refused.add(lost.layer);
  imports.remote?.refuse(lost.layer);
  engine.store.records.forgetLayer(lost.layer);
  const message = `A cached layer is left out, and its step runs again: ${lost.message}`;
  progress({ kind: "notice", level: "warning", message, hint: lost.hint });
  return prepared;
}

function tellMoved(bases: readonly MovedBase[], progress: ProgressSink): void {
  for (const name of new Set(bases.map(({ ref }) => familiarReference(parseReference(ref))))) {
    const message = `${name} is another image now than when it was pulled; the new one is used`;
    progress({ kind: "notice", level: "info", message, hint: undefined });
  }
}

function resultOf(solved: SolvedBuild, exported: readonly Exported[], parts: BuildParts): BuildResult {
  const outcomes = [...solved.outcomes.values()];
  return {
    imageId: exported.find((one) => one.configDigest !== undefined)?.configDigest,
    manifest: exported.find((one) => one.manifest !== undefined)?.manifest,
    ref: `kiln/kiln/${parts.reporter.about.id}`,
    provenance: recordedProvenance(solved, parts),
    names: [...new Set(exported.flatMap((one) => one.names))],
    warnings: solved.prepared.conversions[0]?.warnings ?? [],
    steps: { total: outcomes.length, cached: outcomes.filter((outcome) => outcome.how !== "ran").length },
  };
}

/** Makes the facts of a successful build for its record. */
function finishedFacts({ result: { images } }: SolvedBuild, result: BuildResult): FinishedBuild {
  const layers = (images[0]?.layers ?? []).map(({ snapshot, tarSizeBytes }) => ({ id: snapshot, bytes: tarSizeBytes }));
  const { imageId, manifest, names, steps, warnings } = result;
  return { steps, warnings: warnings.length, result: { imageId, manifest: manifest?.digest, names, layers } };
}

function insecureRegistries(options: BuildOptions): string[] {
  const { from = [], to = [] } = options.cache ?? {};
  const caches = [...from, ...to.map((one) => one.place)].flatMap((place) =>
    place.kind === "registry" && place.insecure ? [parseReference(place.ref).registry] : [],
  );
  const names = (options.outputs ?? []).flatMap((output) =>
    output.kind === "image" && output.insecure
      ? [...(options.tags ?? []), ...output.image.names].map((name) => parseReference(name).registry)
      : [],
  );
  return [...new Set([...names, ...caches])];
}
