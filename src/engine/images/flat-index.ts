import type { Index } from "../../../lib/core/oci.ts";
import type { Store } from "../../../lib/store/store.ts";

/** Indexes below each other that are opened; more is a circle of somebody's making. */
const MAX_DEPTH = 4;

/** Puts the manifests of indexes that an index lists, and the store has, in their places. The same index where there are none. */
export function flatIndex(index: Index, images: Pick<Store["images"], "getIndex">, depth = 0): Index {
  if (depth === MAX_DEPTH) return index;
  const manifests = index.manifests.flatMap((entry) => {
    const nested = images.getIndex(entry.digest);
    return nested === undefined ? [entry] : flatIndex(nested, images, depth + 1).manifests;
  });
  return manifests.every((entry, position) => entry === index.manifests[position]) ? index : { ...index, manifests };
}
