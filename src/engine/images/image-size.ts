import type { Digest } from "../../../lib/core/digest.ts";
import type { StoredImage } from "../../../lib/store/model.ts";
import type { ImageSummary, Store } from "../../../lib/store/store.ts";

/** Adds up an image's layers, as bytes that a pull would unpack; for an index, those of the present platforms. */
export function imageSize(image: ImageSummary, store: Pick<Store, "images" | "snapshots">): number {
  if (image.kind === "image") return layersSize(image.layers, store);
  const members = image.manifests.flatMap((digest) => store.images.get(digest) ?? []);
  return members.reduce((sum, member) => sum + layersSize(member.layers, store), 0);
}

/** Adds up the tars of layers, as far as their sizes are known. */
export function layersSize(layers: ImageSummary["layers"], store: Pick<Store, "snapshots">): number {
  return store.snapshots
    .getMany(layers)
    .reduce((sum, row) => sum + (row.tarSizeBytes ?? blobSize(row.diffId, store)), 0);
}

/** Returns the compressed size instead, for a layer that was pulled and never unpacked. */
function blobSize(diffId: Digest | undefined, store: Pick<Store, "snapshots">): number {
  return diffId === undefined ? 0 : (store.snapshots.layerBlobs(diffId)[0]?.descriptor.size ?? 0);
}

/** Returns the size of each layer, lowest first: its tar's, or the blob's where that is not known. */
export function layerSizes(image: StoredImage, store: Pick<Store, "snapshots">): number[] {
  const rows = new Map(store.snapshots.getMany(image.layers).map((row) => [row.id, row]));
  return image.layers.map((id, index) => rows.get(id)?.tarSizeBytes ?? image.manifest.layers[index]?.size ?? 0);
}
