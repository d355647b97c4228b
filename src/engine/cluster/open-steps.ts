import type { ProgressSink } from "../../../lib/core/progress.ts";
import { ClusterSteps } from "../../../solver/remote/cluster-steps.ts";
import type { RemoteSteps } from "../../../solver/ports.ts";
import type { Engine } from "../engine.ts";
import type { LayerPacker } from "../images/layer-packer.ts";
import type { RemoteOptions } from "./remote-options.ts";
import { sentLayers } from "./sent-layers.ts";
import { workerProgram } from "./worker-program.ts";

/** Opens the place that runs steps, without any request yet. */
export async function openRemoteSteps(
  { url, jobs, fallsBack = false, properties = [] }: RemoteOptions,
  {
    engine,
    packer,
    progress,
  }: {
    readonly engine: Pick<Engine, "clusters" | "environment" | "store" | "layers">;
    readonly packer: LayerPacker;
    readonly progress: ProgressSink;
  },
  signal: AbortSignal,
): Promise<RemoteSteps> {
  const cluster = await (await engine.clusters()).at(url, signal);
  let program: ReturnType<typeof workerProgram> | undefined;
  return new ClusterSteps({
    cluster,
    repository: cluster.place.url,
    layer: sentLayers(engine, packer),
    isKept: (id) => {
      const diffId = engine.store.snapshots.get(id)?.diffId;
      const blobs = diffId === undefined ? [] : engine.store.snapshots.layerBlobs(diffId);
      return blobs.some(({ repository }) => repository === cluster.place.url);
    },
    program: (s) => (program ??= workerProgram(engine.environment, engine.store, s)),
    properties,
    jobs,
    fallsBack,
    notice: (level, message, hint) => progress({ kind: "notice", level, message, hint }),
  });
}
