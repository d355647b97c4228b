import { type Digest, isDigest } from "../../lib/core/digest.ts";
import type { HistoryEntry } from "../../lib/core/oci.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { builtLayerId } from "../../lib/store/snapshot-id.ts";
import { planSplit, splitTar } from "../../lib/tar/split.ts";
import { layerMediaType } from "./documents.ts";
import type { ResultImage, ResultLayer } from "./exporter.ts";
import { warnOfManyLayers } from "./layer-count.ts";
import { type LayerSources, layerTar } from "./layers.ts";

/**
 * Makes several layers of each large one that was built, none above `partBytes` but for a single file that is larger. The parts
 * are kept as tars, like all layers that no step made. Layers of base images stay as they are: they are shared with others.
 */
export async function splitLayers(
  image: ResultImage,
  partBytes: number,
  deps: LayerSources,
  progress: ProgressSink,
  signal: AbortSignal,
): Promise<ResultImage> {
  const parts: (readonly ResultLayer[])[] = [];
  for (const layer of image.layers) {
    const isSmall = layer.origin === "base" || (layer.tarSizeBytes ?? Number.POSITIVE_INFINITY) <= partBytes;
    parts.push(isSmall ? [layer] : await splitLayer(layer, partBytes, deps, signal));
  }
  const layers = parts.flat();
  if (layers.length === image.layers.length) return image;
  const { documents: _, ...rest } = image;
  const split: ResultImage = {
    ...rest,
    layers,
    config: {
      ...image.config,
      rootfs: { ...image.config.rootfs, diff_ids: layers.map(({ diffId }) => diffId) },
      history: splitHistory(
        image.config.history,
        parts.map(({ length }) => length),
      ),
    },
  };
  warnOfManyLayers({ images: [split] }, progress);
  return split;
}

/** Gives each further part an entry of its own, behind that of the layer. */
function splitHistory(history: readonly HistoryEntry[], counts: readonly number[]): readonly HistoryEntry[] {
  let layer = -1;
  return history.flatMap((entry) => {
    if (entry.empty_layer === true) return [entry];
    layer += 1;
    const count = counts[layer] ?? 1;
    const { created } = entry;
    const further = Array.from({ length: count - 1 }, (_, index): HistoryEntry => ({
      ...(created === undefined ? {} : { created }),
      comment: `part ${index + 2} of ${count} of the layer`,
    }));
    return [entry, ...further];
  });
}

async function splitLayer(
  layer: ResultLayer,
  partBytes: number,
  deps: LayerSources,
  signal: AbortSignal,
): Promise<readonly ResultLayer[]> {
  const { store } = deps;
  const key = `${layer.diffId} ${partBytes}`;
  using _lease = await store.leases.acquire(`split ${key}`, signal);
  const known = store.facts.get("split-layer", key);
  if (known !== undefined) {
    const sizes = known.blobs.map((digest) => (isDigest(digest) ? store.blobs.sizeOf(digest) : undefined));
    if (known.blobs.length === 0) return [layer];
    if (!sizes.includes(undefined)) {
      return known.blobs.flatMap((digest, index) =>
        isDigest(digest) ? keptLayer(digest, sizes[index] ?? 0, deps) : [],
      );
    }
  }
  const plan = await planSplit(await layerTar(layer, deps, signal), partBytes);
  const isWhole = plan.parts === 1;
  const written = isWhole
    ? []
    : await splitTar(await layerTar(layer, deps, signal), plan, (_, bytes) => store.blobs.write(bytes, {}, signal));
  store.facts.set("split-layer", key, { value: new Uint8Array(), blobs: written.map(({ digest }) => digest) });
  return isWhole ? [layer] : written.map(({ digest, size }) => keptLayer(digest, size, deps));
}

/** Adds a part's row; its files stay absent until something needs them. */
function keptLayer(diffId: Digest, size: number, { store }: LayerSources): ResultLayer {
  const snapshot = builtLayerId(diffId);
  store.snapshots.insert([{ id: snapshot, state: "absent", diffId, tarSizeBytes: size, runs: [] }]);
  const descriptor = { mediaType: layerMediaType("oci", "uncompressed"), digest: diffId, size };
  store.snapshots.addLayerBlob({ diffId, descriptor, repository: undefined });
  return { diffId, tarSizeBytes: size, snapshot, origin: "built" };
}
