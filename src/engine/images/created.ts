import type { ImageSummary, Store } from "../../../lib/store/store.ts";

/**
 * Returns an image's creation time, from its configuration; for an index, the newest of its images'. `undefined` where
 * none has one.
 */
export function createdMs(image: ImageSummary, store: Store): number | undefined {
  const digests = image.kind === "image" ? [image.digest] : image.manifests;
  const times = digests.flatMap((digest) => {
    const time = Date.parse(store.images.get(digest)?.config.created ?? "");
    return Number.isNaN(time) ? [] : [time];
  });
  return times.length === 0 ? undefined : Math.max(...times);
}
