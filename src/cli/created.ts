import type { ImageSummary, Store } from "../../lib/store/store.ts";

/** Tells when an image was made, by its own word; of an index, when the newest of its images was. `undefined` where none says. */
export function createdMs(image: ImageSummary, store: Store): number | undefined {
  const digests = image.kind === "image" ? [image.digest] : image.manifests;
  const times = digests.flatMap((digest) => {
    const time = Date.parse(store.images.get(digest)?.config.created ?? "");
    return Number.isNaN(time) ? [] : [time];
  });
  return times.length === 0 ? undefined : Math.max(...times);
}
