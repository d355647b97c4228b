import type { Result, ResultImage, ResultLayer } from "./exporter.ts";
import { clampedLayer, keepClamped, type KeptLayer, type LayerSources } from "./layers.ts";
import type { ImageOptions } from "./output-spec.ts";

/**
 * Clamps the times of files in the image's own layers to `epochSeconds`. Base layers stay as they are: their bytes are
 * another writer's. It takes one more pass over each new layer.
 */
export async function rewriteTimestamps(
  image: ResultImage,
  epochSeconds: number,
  deps: LayerSources,
  signal: AbortSignal,
): Promise<ResultImage> {
  const layers: ResultLayer[] = [];
  for (const layer of image.layers) {
    layers.push(layer.origin === "base" ? layer : await clampedLayer(layer, epochSeconds, deps, signal));
  }
  return withLayers(image, layers);
}

/**
 * Clamps the times for an image that stays in the store. Its layers are written there as tars: an image must give the
 * files, and the bytes, that its diffIDs name.
 */
export async function rewriteForStore(
  result: Result,
  options: Pick<ImageOptions, "rewriteTimestamp" | "sourceDateEpoch">,
  deps: LayerSources,
  signal: AbortSignal,
): Promise<{ readonly result: Result; readonly kept: readonly KeptLayer[] }> {
  if (!options.rewriteTimestamp) return { result, kept: [] };
  const kept: KeptLayer[] = [];
  const images: ResultImage[] = [];
  for (const image of result.images) {
    const epoch = options.sourceDateEpoch ?? image.sourceDateEpoch;
    if (epoch === undefined) {
      images.push(image);
      continue;
    }
    const layers: ResultLayer[] = [];
    for (const layer of (await rewriteTimestamps(image, epoch, deps, signal)).layers) {
      if (layer.latestMtime === undefined) {
        layers.push(layer);
        continue;
      }
      const own = await keepClamped(layer, deps, signal);
      kept.push(own);
      layers.push(own.layer);
    }
    images.push(withLayers(image, layers));
  }
  return { result: { ...result, images }, kept };
}

function withLayers(image: ResultImage, layers: readonly ResultLayer[]): ResultImage {
  const rootfs = { ...image.config.rootfs, diff_ids: layers.map((layer) => layer.diffId) };
  return { ...image, config: { ...image.config, rootfs }, layers };
}
