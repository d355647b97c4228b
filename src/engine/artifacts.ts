import { mkdirSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { dirname as imageDirname, basename as imageBasename } from "node:path/posix";
import { BuildError, errnoOf, messageOf } from "../../lib/core/errors.ts";
import { compileGoPattern, hasWildcards } from "../../lib/core/patterns/go-match.ts";
import { didYouMean } from "../../lib/core/suggest.ts";
import { systemFailure } from "../../lib/core/system-failure.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { BuildParts } from "./build-parts.ts";
import { copyOut } from "./look/copy-out.ts";
import { listImageFiles, openImageFiles } from "./look/image-files.ts";
import type { ArtifactSpec } from "./options.ts";
import type { StageTrees, StageTree } from "./stage-trees.ts";
import { shownStep } from "./shown-step.ts";

type ArtifactParts = Pick<BuildParts, "engine" | "options" | "progress">;

/**
 * Writes the files of stages that a build was asked for. Links inside a stage are followed inside of it, and no link of
 * a stage is followed where the files are written. What is missing is a warning, once for each artifact.
 * @param outcome of the build; a failed one keeps its own error, so that failures here are warnings
 * @throws {BuildError} `export/failed` after a build that succeeded
 */
export async function writeArtifacts(
  parts: ArtifactParts,
  trees: StageTrees,
  outcome: "succeeded" | "failed",
  signal: AbortSignal,
): Promise<void> {
  trees.isWritten = true;
  const specs = (parts.options.artifacts ?? []).map((spec) => ({ spec, real: realPlace(placeOf(parts, spec)) }));
  for (const { spec, real } of specs) {
    try {
      // Of an artifact that was written before this one, a link may lie on the way.
      if (realPlace(placeOf(parts, spec)) !== real)
        throw new BuildError("export/failed", `Cannot write to ${spec.destination}: a link of a stage leads elsewhere`);
      await writeArtifact(parts, trees, spec, outcome, signal);
    } catch (error) {
      signal.throwIfAborted();
      const failure = systemFailure(`write ${spec.stage}:${spec.path}`, error);
      // A pattern in a directory that is not there.
      const isMissing = failure instanceof BuildError && failure.code === "solver/not-found";
      if (!isMissing && outcome === "succeeded") throw failure;
      warn(parts, spec, isMissing ? "there is no such file" : messageOf(failure));
    }
  }
}

function placeOf({ engine }: ArtifactParts, { destination }: ArtifactSpec): string {
  return resolve(engine.environment.workingDirectory, destination) + (destination.endsWith("/") ? "/" : "");
}

/** Resolves the links of a path as far as it exists. */
function realPlace(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    const above = dirname(path);
    if (above === path || errnoOf(error) !== "ENOENT") return path;
    return join(realPlace(above), basename(path));
  }
}

async function writeArtifact(
  parts: ArtifactParts,
  trees: StageTrees,
  spec: ArtifactSpec,
  outcome: "succeeded" | "failed",
  signal: AbortSignal,
): Promise<void> {
  const { engine, progress } = parts;
  const found = await layersFor(parts, trees, spec, signal);
  if (found.length === 0) {
    const why = missingWhy(trees, spec, outcome);
    if (why !== undefined) warn(parts, spec, why);
    return;
  }
  const name = `writing ${spec.stage}:${spec.path} to ${spec.destination}`;
  const clock = engine.environment;
  const missing = await shownStep(name, { progress, clock }, async () => {
    const target = placeOf(parts, spec);
    let written = 0;
    for (const { platform, layers } of found) {
      const place = trees.platforms > 1 && platform !== "" ? join(target, `${platform}/`) : target;
      for (const source of await sourcesOf(parts, layers, spec.path, signal)) {
        if (await wasWritten(parts, layers, { source, place, isOneOfMany: isPattern(spec) }, signal)) written += 1;
      }
    }
    return written === 0;
  });
  if (missing) warn(parts, spec, "there is no such file");
}

function isPattern({ path }: ArtifactSpec): boolean {
  return hasWildcards(imageBasename(path));
}

/**
 * Copies one path. A directory's content goes into the place itself, so that a second build does not nest it; one of
 * several that a pattern fits keeps its name.
 * @returns false where there is no such path
 */
async function wasWritten(
  { engine }: ArtifactParts,
  layers: readonly SnapshotId[],
  { source, place, isOneOfMany }: { readonly source: string; readonly place: string; readonly isOneOfMany: boolean },
  signal: AbortSignal,
): Promise<boolean> {
  mkdirSync(place.endsWith("/") || isOneOfMany ? place : dirname(place), { recursive: true });
  const target = { kind: "path", path: place, isPlain: true } as const;
  const content = `${source.replace(/\/+$/, "")}/.`;
  // A file has no content of that kind.
  for (const form of isOneOfMany ? [source] : [content, source]) {
    try {
      await copyOut(engine, { layers }, { source: form, target }, signal);
      return true;
    } catch (error) {
      if (!(error instanceof BuildError) || error.code !== "solver/not-found") throw error;
    }
  }
  return false;
}

/** Lists the paths that a pattern in the last name fits; a plain path is itself. */
async function sourcesOf(
  { engine }: ArtifactParts,
  layers: readonly SnapshotId[],
  path: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const last = imageBasename(path);
  if (!hasWildcards(last)) return [path];
  const directory = imageDirname(path);
  await using files = await openImageFiles(engine, { layers }, signal);
  const fits = compileGoPattern(last);
  const names = (await listImageFiles(files, directory, "one", signal)).map((file) => basename(file.path));
  return names.filter((name) => fits(name)).map((name) => `${directory.replace(/\/$/, "")}/${name}`);
}

interface FoundTree {
  /** Name of its folder where there are several; empty for the one tree that failed. */
  readonly platform: string;
  readonly layers: readonly SnapshotId[];
}

async function layersFor(
  { engine }: ArtifactParts,
  trees: StageTrees,
  { stage, onlyChanges }: ArtifactSpec,
  signal: AbortSignal,
): Promise<readonly FoundTree[]> {
  if (stage.toLowerCase() === "failed") {
    const layers = trees.failure?.layers ?? [];
    return layers.length === 0 ? [] : [{ platform: "", layers: onlyChanges === true ? layers.slice(-1) : layers }];
  }
  const found: FoundTree[] = [];
  const recorded = trees.treesOf(stage, (key) => engine.store.records.findByDefinitionKey(key)?.layers);
  for (const { platform, tree } of recorded) found.push({ platform, layers: await layersOf(tree, engine, signal) });
  return found;
}

async function layersOf(
  tree: StageTree["tree"],
  { images }: ArtifactParts["engine"],
  signal: AbortSignal,
): Promise<readonly SnapshotId[]> {
  return tree.kind === "layers" ? tree.layers : images.stack(tree.op, signal);
}

/** Says why there is no tree; `undefined` where that is no surprise. */
function missingWhy(trees: StageTrees, { stage }: ArtifactSpec, outcome: "succeeded" | "failed"): string | undefined {
  if (stage.toLowerCase() === "failed") {
    if (outcome === "succeeded") return undefined;
    return "no command failed, so that no files of one are kept";
  }
  const names = trees.names;
  const isKnown = names.includes(stage.toLowerCase()) || (/^\d+$/.test(stage) && Number(stage) < names.length);
  if (!isKnown) return `no stage has that name${didYouMean(stage, names)}`;
  return outcome === "failed" ? "the build ended before the stage began" : "the target does not need that stage";
}

function warn({ progress }: ArtifactParts, { stage, path }: ArtifactSpec, why: string): void {
  const message = `--artifact ${stage}:${path} is not written: ${why}`;
  progress({ kind: "notice", level: "warning", message, hint: undefined });
}
