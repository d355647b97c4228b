import { setTimeout as pause } from "node:timers/promises";
import { serializeImageConfig } from "../../lib/core/image-config.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { formatPlatform } from "../../lib/core/platform.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { discard } from "../../lib/store/discard.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import { originOf } from "../../lib/store/snapshot-id.ts";
import type { Records, Store } from "../../lib/store/store.ts";
import type { Clock } from "../../solver/ports.ts";
import type { ResultImage } from "../export/exporter.ts";
import { rewriteTimestamps } from "../export/rewrite.ts";
import type { BuildParts } from "./build-parts.ts";
import { LayerPacker } from "./images/layer-packer.ts";
import { compareImages } from "./look/compare-images.ts";
import type { LookedAt } from "./look/image-files.ts";
import { differenceLines } from "./look/difference-lines.ts";
import { BuildReporter } from "./reporter.ts";
import { type SolvedBuild, solveBuild } from "./solve-build.ts";

/** Limit of lines: a build with another base system differs in each of its files. */
const MAX_LINES = 500;

/**
 * Builds again from the same sources, without cached results, and compares the images. The second one's results are in
 * no record, and its layers are removed: later builds know nothing of it.
 * @throws {BuildError} `build/not-reproducible` with the differences
 */
export async function verifyBuild(solved: SolvedBuild, parts: BuildParts, signal: AbortSignal): Promise<void> {
  const { engine } = parts;
  const made = new UnrecordedResults(parts.imports.records, engine.store, engine.environment);
  try {
    await nextSecond(engine.environment, signal);
    await using packer = new LayerPacker(engine, signal);
    const again = await solveBuild(
      await solved.prepared.uncached(),
      {
        ...parts,
        options: { ...parts.options, expectCached: undefined },
        outputs: [],
        progress: renamed(parts.progress),
        reporter: new BuildReporter(parts.reporter.about, parts.reporter.parts),
        imports: { ...parts.imports, records: made.records, remote: undefined },
      },
      { packer, early: undefined },
      signal,
    );
    const lines: string[] = [];
    for (const [index, image] of solved.result.images.entries()) {
      const other = again.result.images[index];
      if (other === undefined) throw new Error("The second build has fewer images");
      const found = await differencesOf(image, other, parts, signal);
      if (found.length > 0 && solved.result.images.length > 1) lines.push(formatPlatform(image.platform));
      for (const line of found) lines.push(line);
    }
    if (lines.length > 0) throw notReproducible(lines, parts.options.reproducible === true);
  } finally {
    // Also after an interruption: the directories would stay until the next collection.
    await discard(engine.store, made, AbortSignal.timeout(60_000));
  }
}

/** Waits for another second: two builds of one second would both be right about the date. */
async function nextSecond(clock: Clock, signal: AbortSignal): Promise<void> {
  await pause(SECOND_MS - (clock.nowMs() % SECOND_MS), undefined, { signal });
}

const SECOND_MS = 1000;

/** Lists what differs between the images as outputs would have them. */
async function differencesOf(
  one: ResultImage,
  other: ResultImage,
  { engine, outputs }: BuildParts,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const isRewritten = outputs.some((output) => "image" in output && output.image.rewriteTimestamp);
  const epoch = isRewritten ? one.sourceDateEpoch : undefined;
  const rewritten = async (image: ResultImage): Promise<ResultImage> =>
    epoch === undefined ? image : rewriteTimestamps(image, epoch, engine.layers, signal);
  const before = await rewritten(one);
  const after = await rewritten(other);
  if (serializeImageConfig(before.config) === serializeImageConfig(after.config)) return [];
  const [left, right] = [lookedAt(before), lookedAt(after)];
  return differenceLines(await compareImages(engine, left, right, signal, epoch));
}

function lookedAt({ config, layers }: ResultImage): LookedAt {
  return { config, layers: layers.map(({ snapshot }) => snapshot) };
}

function notReproducible(lines: readonly string[], isMeantTo: boolean): BuildError {
  const left = lines.length - MAX_LINES;
  const shown = left > 0 ? [...lines.slice(0, MAX_LINES), `and ${left} more lines`] : lines;
  return new BuildError("build/not-reproducible", "The image is another one when it is built again", {
    detail: shown.join("\n"),
    hint: isMeantTo
      ? "see what the steps of these layers take from the clock, chance or the network"
      : "--reproducible gives all files and the image one date",
  });
}

/** The results of one build, kept out of the store's records. */
class UnrecordedResults {
  readonly snapshots: SnapshotId[] = [];
  readonly logs: string[] = [];
  /** The store's records, without a trace of what is inserted. */
  readonly records: Records;

  constructor(records: Records, store: Pick<Store, "snapshots">, clock: Clock) {
    this.records = {
      ...records,
      insert: (record, { snapshots, layerBlobs = [] }) => {
        for (const { id } of snapshots) if (originOf(id) === "step") this.snapshots.push(id);
        if (record.logFile !== undefined) this.logs.push(record.logFile);
        // Rows without a record are only garbage, and the build's later steps need them.
        store.snapshots.insert(snapshots);
        for (const blob of layerBlobs) store.snapshots.addLayerBlob(blob);
        const createdAtMs = clock.nowMs();
        return { ...record, createdAtMs, lastUsedMs: createdAtMs };
      },
      addAlias: () => {},
    };
  }
}

/** Passes events on, with ids and names of their own: the same steps have been shown already. */
function renamed(sink: ProgressSink): ProgressSink {
  return (event) => {
    if (event.kind === "notice" || event.kind === "plan") return;
    const id = `again ${event.id}`;
    sink("name" in event ? { ...event, id, name: `again: ${event.name}` } : { ...event, id });
  };
}
