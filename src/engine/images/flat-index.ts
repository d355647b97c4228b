import type { Index } from "../../../lib/core/oci.ts";
import type { Store } from "../../../lib/store/store.ts";

/** Limit of nested indexes; more means a cycle. */
const MAX_DEPTH = 4;

/** Replaces nested indexes in the store by their manifests. Returns the same index where there are none. */
export function flatIndex(index: Index, images: Pick<Store["images"], "getIndex">, depth = 0): Index {
  if (depth === MAX_DEPTH) return index;
  const manifests = index.manifests.flatMap((entry) => {
    const nested = images.getIndex(entry.digest);
    return nested === undefined ? [entry] : flatIndex(nested, images, depth + 1).manifests;
  });
  return manifests.every((entry, position) => entry === index.manifests[position]) ? index : { ...index, manifests };
}
