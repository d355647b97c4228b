import type { ResultImage, ResultLayer } from "./exporter.ts";
import { clampedLayer, type LayerSources } from "./layers.ts";

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
  const config = { ...image.config, rootfs: { ...image.config.rootfs, diff_ids: layers.map((layer) => layer.diffId) } };
  return { ...image, config, layers };
}
