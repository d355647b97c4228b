import type { LayerTools } from "../../export/layers.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { RegistryClient } from "../../../lib/registry/registry.ts";
import { compress } from "../../../lib/tar/compress.ts";
import { decompress } from "../../../lib/tar/compression.ts";
import { lendLayer } from "../../../lib/tar/pack.ts";
import { openBlobAt } from "../../../solver/sources/image/open-blob.ts";
import type { ImageSource, Snapshotter } from "../../../solver/ports.ts";

/** What exporters need to read layers, from the parts of an engine. */
export function layerTools(on: {
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  readonly images: ImageSource;
  readonly registry: () => Promise<RegistryClient>;
  readonly processors: number;
}): LayerTools {
  return {
    pack(layer, signal) {
      const clamp = layer.latestMtime === undefined ? {} : { clampMtimeSeconds: layer.latestMtime };
      const directory = on.snapshotter.pathOf(layer.snapshot);
      return lendLayer(on.native, { directory, marks: on.snapshotter.marks, ...clamp }, signal);
    },
    materialize: (snapshots, signal) => on.images.materialize(snapshots, undefined, signal),
    fetch: async (repository, blob, signal) =>
      openBlobAt(repository, blob, { offsetBytes: 0, check: "digest" }, on, signal),
    compress: (bytes, { kind, level }, signal) =>
      compress(bytes, { kind, parallel: on.processors, ...(level === undefined ? {} : { level }) }, signal),
    decompress,
  };
}
