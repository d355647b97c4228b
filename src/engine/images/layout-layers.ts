import type { Digest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { type Descriptor, isLayerMediaType } from "../../../lib/core/oci.ts";
import { layerMediaType } from "../../export/documents.ts";
import type { LayerBlob } from "../../../lib/store/model.ts";
import type { Store } from "../../../lib/store/store.ts";
import { checkLayer } from "../../../lib/tar/check-layer.ts";
import { decompress, layerCompression, sniffCompression } from "../../../lib/tar/compression.ts";
import type { LayoutFiles } from "./layout-files.ts";

/**
 * Pairs the layers of a manifest with the diffIDs of its configuration.
 * @throws {BuildError} `archive/malformed` when their numbers differ
 */
export function pairLayers<Layer>(
  layers: readonly Layer[],
  diffIds: readonly Digest[],
): readonly { readonly layer: Layer; readonly diffId: Digest }[] {
  if (layers.length !== diffIds.length) {
    throw new BuildError(
      "archive/malformed",
      `Cannot load the archive: an image has ${layers.length} layers, and its configuration lists ${diffIds.length} (rootfs.diff_ids)`,
      { hint: "write the archive again: this one is not whole" },
    );
  }
  return layers.flatMap((layer, index) => {
    const diffId = diffIds[index];
    return diffId === undefined ? [] : [{ layer, diffId }];
  });
}

/** Copies a layer with a descriptor into the store's blobs and checks its content. */
export async function keepDescribedLayer(
  store: Store,
  files: LayoutFiles,
  { path, descriptor, diffId }: { readonly path: string; readonly descriptor: Descriptor; readonly diffId: Digest },
  signal: AbortSignal,
): Promise<LayerBlob> {
  await store.blobs.write(files.open(path), { expected: descriptor }, signal);
  const blob = { diffId, descriptor, repository: undefined };
  await checkBlob(store, blob, signal);
  return blob;
}

/** Copies a layer file of unknown compression into the store's blobs and checks its content. */
export async function keepLayerFile(
  store: Store,
  files: LayoutFiles,
  { path, diffId }: { readonly path: string; readonly diffId: Digest },
  signal: AbortSignal,
): Promise<LayerBlob> {
  const { kind, stream } = await sniffCompression(files.open(path), signal);
  const written = await store.blobs.write(stream, {}, signal);
  const mediaType = layerMediaType("oci", layerCompression(kind));
  const blob = { diffId, descriptor: { mediaType, ...written }, repository: undefined };
  await checkBlob(store, blob, signal);
  return blob;
}

/**
 * Reads the layer as unpacking would, so that a damaged image is refused when loaded and not when first used. A layer
 * that the store knows already has been read before.
 * @throws {BuildError} `digest/mismatch`, `archive/malformed`, `archive/unsafe-path`
 */
async function checkBlob(store: Store, { diffId, descriptor }: LayerBlob, signal: AbortSignal): Promise<void> {
  const known = store.snapshots.layerBlobs(diffId);
  if (known.some((blob) => blob.descriptor.digest === descriptor.digest)) return;
  let found = descriptor.digest;
  // Attestations lie beside an image as layers that are no tar.
  if (isLayerMediaType(descriptor.mediaType)) {
    const { kind, stream } = await sniffCompression(store.blobs.open(descriptor.digest), signal);
    found = await checkLayer(decompress(stream, kind, signal), signal);
  }
  if (found === diffId) return;
  throw new BuildError(
    "digest/mismatch",
    `Cannot load the archive: the tar of layer ${descriptor.digest} has digest ${found}, and the image's configuration says ${diffId}`,
    { hint: "write the archive again: this one is not whole" },
  );
}
