import type { ResultLayer } from "../../export/exporter.ts";
import type { LayerTools } from "../../export/layers.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { RegistryClient } from "../../../lib/registry/registry.ts";
import { compress } from "../../../lib/tar/compress.ts";
import { decompress } from "../../../lib/tar/compression.ts";
import { lendLayer, type PackOptions } from "../../../lib/tar/pack.ts";
import type { PackPool } from "../../../lib/tar/pack-pool.ts";
import { openBlobAt } from "../../../solver/sources/image/open-blob.ts";
import type { ImageSource, Snapshotter } from "../../../solver/ports.ts";

/** What exporters need to read layers, from the parts of an engine. */
export function layerTools(on: {
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  readonly packPool: PackPool;
  readonly images: ImageSource;
  readonly registry: () => Promise<RegistryClient>;
  readonly processors: number;
}): LayerTools {
  const optionsOf = ({ snapshot, latestMtime }: ResultLayer): PackOptions => ({
    directory: on.snapshotter.pathOf(snapshot),
    marks: on.snapshotter.marks,
    ...(latestMtime === undefined ? {} : { clampMtimeSeconds: latestMtime }),
  });
  return {
    pack: (layer, signal) => lendLayer(on.native, optionsOf(layer), signal),
    measure: (layer, signal) => on.packPool.measure(optionsOf(layer), signal),
    materialize: (snapshots, signal) => on.images.materialize(snapshots, undefined, signal),
    fetch: async (repository, blob, signal) =>
      openBlobAt(repository, blob, { offsetBytes: 0, check: "digest" }, on, signal),
    compress: (bytes, { kind, level }, signal) =>
      compress(bytes, { kind, parallel: on.processors, ...(level === undefined ? {} : { level }) }, signal),
    decompress,
  };
}
