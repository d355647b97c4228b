import type { LayerSources } from "../../export/layers.ts";
import { type BlobPlaces, openBlobAt } from "../../../solver/sources/image/open-blob.ts";
import type { ImageSource, Snapshotter } from "../../../solver/ports.ts";

/** Makes the exporters' dependencies for reading layers, from the parts of an engine. */
export function layerSources(
  deps: Pick<LayerSources, "store" | "native" | "packPool" | "processors"> & {
    readonly snapshotter: Snapshotter;
    readonly images: ImageSource;
  } & BlobPlaces,
): LayerSources {
  const { store, native, packPool, processors, snapshotter } = deps;
  return {
    store,
    native,
    packPool,
    processors,
    snapshots: snapshotter,
    materialize: (snapshots, signal) => deps.images.materialize(snapshots, undefined, signal),
    fetch: async (repository, blob, signal) =>
      openBlobAt(repository, blob, { offsetBytes: 0, check: "digest" }, deps, signal),
  };
}
