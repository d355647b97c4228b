import { type Digest, digestOf, isDigest } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { type HistoryEntry, MEDIA_TYPES } from "../../lib/core/oci.ts";
import { builtLayerId } from "../../lib/store/snapshot-id.ts";
import { packLayer } from "../../lib/tar/pack.ts";
import type { ResultImage, ResultLayer } from "../export/exporter.ts";
import { mergeLayers } from "../../solver/snapshot/merge-layers.ts";
import type { BuildParts, PartsOf } from "./build-parts.ts";
import { treeTools } from "./flatten.ts";
import { shownStep } from "./shown-step.ts";
import type { SolvedBuild } from "./solve-build.ts";

type SquashParts = PartsOf<
  "options" | "progress" | "scratch",
  "environment" | "native" | "snapshotter" | "images" | "store"
>;

/**
 * Merges the layers that the build made into one, over those of the base image: what a later step removed or replaced is in none. Nothing
 * below is touched, so the base's layers stay shared.
 * @throws {BuildError} `cache/export-failed` with an inline cache, which names layers of steps
 */
export async function squashed(
  solved: SolvedBuild,
  parts: SquashParts & Pick<BuildParts, "engine">,
  signal: AbortSignal,
): Promise<SolvedBuild> {
  const { options, progress, engine } = parts;
  if (options.cache?.to.some(({ place }) => place.kind === "inline") === true) {
    throw new BuildError("cache/export-failed", "Cannot put the cache into an image with squashed layers", {
      hint: "its layers are not those of the steps: use --cache-to type=registry",
    });
  }
  const images = await shownStep("squashing layers", { progress, clock: engine.environment }, async () => {
    const made: ResultImage[] = [];
    for (const image of solved.result.images) made.push(await squashedImage(image, parts, signal));
    return made;
  });
  return { ...solved, result: { ...solved.result, images } };
}

async function squashedImage(image: ResultImage, parts: SquashParts, signal: AbortSignal): Promise<ResultImage> {
  const base = image.layers.filter(({ origin }) => origin === "base");
  const own = image.layers.slice(base.length);
  // Layers of a base always lie below the others.
  if (own.length < 2 || own.some(({ origin }) => origin === "base")) return image;
  const layers = [...base, await squashedLayer(image, { base, own }, parts, signal)];
  const { config } = image;
  return {
    ...image,
    layers,
    config: {
      ...config,
      rootfs: { ...config.rootfs, diff_ids: layers.map(({ diffId }) => diffId) },
      history: squashedHistory(image, own.length),
    },
  };
}

/** Keeps every instruction's entry, without a layer; the one layer has an entry of its own. */
function squashedHistory({ config, baseHistoryCount }: ResultImage, count: number): readonly HistoryEntry[] {
  const entries = config.history.map((entry, index) =>
    index < baseHistoryCount ? entry : { ...entry, empty_layer: true },
  );
  const created = config.created === undefined ? {} : { created: config.created };
  return [...entries, { ...created, comment: `${count} layers, squashed` }];
}

async function squashedLayer(
  image: ResultImage,
  { base, own }: { readonly base: readonly ResultLayer[]; readonly own: readonly ResultLayer[] },
  parts: SquashParts,
  signal: AbortSignal,
): Promise<ResultLayer> {
  const { store } = parts.engine;
  const isWhole = base.length === 0;
  const key = digestOf([isWhole ? "whole" : "over a base", ...own.map(({ diffId }) => diffId)].join(" "));
  using _lease = await store.leases.acquire(`squash ${key}`, signal);
  const fact = store.facts.get("squashed-layer", key)?.blobs[0];
  const known = fact === undefined || !isDigest(fact) ? undefined : store.blobs.sizeOf(fact);
  if (fact !== undefined && known !== undefined) return keptLayer(fact, known, store);
  await parts.engine.images.materialize(
    own.map(({ snapshot }) => snapshot),
    undefined,
    signal,
  );
  await using tree = isWhole ? await wholeTree(image, parts, signal) : mergedTree(own, parts);
  const { native, snapshotter } = parts.engine;
  const tar = packLayer(native, { directory: tree.directory, marks: snapshotter.marks }, signal);
  const { digest, size } = await store.blobs.write(tar, {}, signal);
  store.facts.set("squashed-layer", key, { value: new Uint8Array(), blobs: [digest] });
  return keptLayer(digest, size, store);
}

interface Tree extends AsyncDisposable {
  readonly directory: string;
}

/** Copies a tree that has nothing below: no mark of a removed file is left in it. */
async function wholeTree(image: ResultImage, { engine }: SquashParts, signal: AbortSignal): Promise<Tree> {
  return treeTools(engine).flatten([{ image, folder: "" }], signal);
}

function mergedTree(own: readonly ResultLayer[], { engine, scratch }: SquashParts): Tree {
  const { native, snapshotter } = engine;
  const directory = scratch.directory();
  const paths = own.map(({ snapshot }) => snapshotter.pathOf(snapshot)).toReversed();
  mergeLayers(native, paths, directory, snapshotter.marks);
  return { directory, [Symbol.asyncDispose]: async () => undefined };
}

/** Adds a layer's row; its files stay absent until something needs them. */
function keptLayer(diffId: Digest, sizeBytes: number, store: SquashParts["engine"]["store"]): ResultLayer {
  const id = builtLayerId(diffId);
  store.snapshots.insert([{ id, state: "absent", diffId, tarSizeBytes: sizeBytes, runs: [] }]);
  store.snapshots.addLayerBlob({
    diffId,
    descriptor: { mediaType: MEDIA_TYPES.ociLayer, digest: diffId, size: sizeBytes },
    repository: undefined,
  });
  return { diffId, tarSizeBytes: sizeBytes, snapshot: id, origin: "built" };
}
