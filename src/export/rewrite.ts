import type { ResultImage, ResultLayer } from "./exporter.ts";
import type { LayerTools } from "./layers.ts";

/**
 * The image with the times of files in its own layers clamped to `epochSeconds`. Base layers are left alone: their
 * bytes are somebody else's. Costs one more pass over each new layer.
 */
export async function rewriteTimestamps(
  image: ResultImage,
  epochSeconds: number,
  tools: LayerTools,
  signal: AbortSignal,
): Promise<ResultImage> {
  const layers: ResultLayer[] = [];
  for (const layer of image.layers) {
    layers.push(
      layer.origin === "base" ? layer : await clamped({ ...layer, latestMtime: epochSeconds }, tools, signal),
    );
  }
  const config = { ...image.config, rootfs: { ...image.config.rootfs, diff_ids: layers.map((layer) => layer.diffId) } };
  return { ...image, config, layers };
}

async function clamped(layer: ResultLayer, tools: LayerTools, signal: AbortSignal): Promise<ResultLayer> {
  const { diffId, sizeBytes } = await tools.measure(layer, signal);
  return { ...layer, diffId, tarSizeBytes: sizeBytes };
}
