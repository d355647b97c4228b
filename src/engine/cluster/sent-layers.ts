import { originOf } from "../../../lib/store/snapshot-id.ts";
import type { LayerBlob, SnapshotId } from "../../../lib/store/model.ts";
import type { SentLayer } from "../../../solver/remote/cluster-steps.ts";
import { blobContent, layerContent } from "../../export/layers.ts";
import type { Engine } from "../engine.ts";
import type { LayerPacker } from "../images/layer-packer.ts";

/**
 * Finds the blobs of layers for a cluster. A layer that a step made travels as its tar, whose digest is its diffID; one
 * of an image travels as its registry has it, so that a machine without the layer can name the blob too.
 */
export function sentLayers(
  { store, layers }: Pick<Engine, "store" | "layers">,
  packer: Pick<LayerPacker, "layer">,
): (id: SnapshotId, signal: AbortSignal) => Promise<SentLayer> {
  const ofImage = (id: SnapshotId): LayerBlob | undefined => {
    const diffId = store.snapshots.get(id)?.diffId;
    const blobs = diffId === undefined ? [] : store.snapshots.layerBlobs(diffId);
    // Any of them will do, but the same on every machine.
    return blobs
      .filter(({ descriptor, repository }) => repository !== undefined || store.blobs.has(descriptor.digest))
      .toSorted((a, b) => (a.descriptor.digest < b.descriptor.digest ? -1 : 1))[0];
  };
  return async (id, signal) => {
    const isBuilt = originOf(id) !== "image";
    const known = isBuilt ? undefined : ofImage(id);
    if (known !== undefined) {
      const { digest, size } = known.descriptor;
      const content = blobContent(known, layers);
      return { diffId: known.diffId, isBuilt, blob: { digest, size, open: (s) => content.open(s) } };
    }
    const { diffId, tarSizeBytes } = await packer.layer(id, signal);
    const form = { family: "oci", compression: "uncompressed", level: undefined, force: true } as const;
    const layer = { snapshot: id, diffId, tarSizeBytes, origin: "built" } as const;
    const content = await layerContent(layer, form, layers, signal);
    const { digest, size } = content.descriptor;
    return { diffId, isBuilt, blob: { digest, size, open: (s) => content.open(s) } };
  };
}
