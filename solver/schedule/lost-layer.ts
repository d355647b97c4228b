import { LostLayerError } from "../../lib/store/lost-layer.ts";
import { originOf } from "../../lib/store/snapshot-id.ts";

/**
 * The failure to get a layer that another machine's cache promised, somewhere among an error's causes. Layers of base
 * images are not meant: nothing can replace them.
 */
export function lostLayer(error: unknown): LostLayerError | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof LostLayerError) return originOf(at.layer) === "tar" ? at : undefined;
  }
  return undefined;
}
