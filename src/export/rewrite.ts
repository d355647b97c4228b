import type { ResultImage, ResultLayer } from "./exporter.ts";
import { clampedLayer, type LayerSources } from "./layers.ts";

/**
 * The image with the times of files in its own layers clamped to `epochSeconds`. Base layers are left alone: their
 * bytes are somebody else's. Costs one more pass over each new layer.
 */
export async function rewriteTimestamps(
  image: ResultImage,
  epochSeconds: number,
  on: LayerSources,
  signal: AbortSignal,
): Promise<ResultImage> {
  const layers: ResultLayer[] = [];
  for (const layer of image.layers) {
    layers.push(layer.origin === "base" ? layer : await clampedLayer(layer, epochSeconds, on, signal));
  }
  const config = { ...image.config, rootfs: { ...image.config.rootfs, diff_ids: layers.map((layer) => layer.diffId) } };
  return { ...image, config, layers };
}
