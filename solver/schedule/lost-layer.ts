import { LostLayerError } from "../../lib/store/lost-layer.ts";
import { originOf } from "../../lib/store/snapshot-id.ts";

/**
 * Finds the failure to get a layer of another machine's cache among an error's causes. Layers of base images do not
 * count: nothing can replace them.
 */
export function lostLayer(error: unknown): LostLayerError | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof LostLayerError) return originOf(at.layer) === "tar" ? at : undefined;
  }
  return undefined;
}
