import type { RegistryClient } from "../../lib/registry/registry.ts";
import { EarlyUploads } from "./early-uploads.ts";
import type { Exported, Exporter } from "./exporter.ts";
import type { LayerSources } from "./layers.ts";
import { type ImageOutput, namesOf } from "./output-spec.ts";
import { registryExporter } from "./registry-exporter.ts";
import { storeExporter } from "./store-exporter.ts";

/**
 * The local store, a registry, or one after the other; `undefined` when neither is asked for. The result is the last one's.
 * Compression is for what is sent: the store lists layers as tars, unless it is to know the digest of what is pushed.
 */
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
      const { canonical } = output.digestNames;
      const kept = canonical ? output : { ...output, image: { ...output.image, compression: undefined } };
      if (output.store) await storeExporter(kept, sources).export(result, progress, signal);
      const exported = await registryExporter(output, { ...sources, client: on.client, early }).export(
        result,
        progress,
        signal,
      );
      // Whatever a build has pulled under these names is not what they mean now.
      if (!output.pushByDigest) for (const name of exported.names) on.store.pulled.forget(name);
      return exported;
    },
  };
}
