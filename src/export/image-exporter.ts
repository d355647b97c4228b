import type { RegistryClient } from "../registry/registry.ts";
import { EarlyUploads } from "./early-uploads.ts";
import type { Exported, Exporter } from "./exporter.ts";
import type { LayerSources } from "./layers.ts";
import { type ImageOutput, namesOf } from "./output-spec.ts";
import { registryExporter } from "./registry-exporter.ts";
import { storeExporter } from "./store-exporter.ts";

/** The local store, a registry, or one after the other; `undefined` when neither is asked for. The result is the last one's. */
export function imageExporter(
  output: ImageOutput,
  on: LayerSources & {
    /** Made on first use: a build that pushes nothing loads no HTTP client. */
    readonly client: () => Promise<RegistryClient>;
  },
): Exporter | undefined {
  if (!output.push) return output.store ? storeExporter(output, on) : undefined;
  return {
    description: output.store ? "exporting to image" : "pushing to registry",
    async export(result, progress, signal): Promise<Exported> {
      const [first] = namesOf(output.image, result);
      // Layers begin to leave while they are compressed, whichever of the two wants them compressed first.
      await using early = first === undefined ? undefined : new EarlyUploads(first, on.client);
      const sources: LayerSources = {
        ...on,
        ...(early === undefined ? {} : { onCompress: (layer, blob) => early.begin(layer, blob, signal) }),
      };
      if (output.store) await storeExporter(output, sources).export(result, progress, signal);
      return await registryExporter(output, { ...sources, client: on.client, early }).export(result, progress, signal);
    },
  };
}
