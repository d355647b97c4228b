import type { RegistryClient } from "../../lib/registry/registry.ts";
import { EarlyUploads } from "./early-uploads.ts";
import type { Exported, Exporter } from "./exporter.ts";
import type { LayerSources } from "./layers.ts";
import { type ImageOutput, namesOf } from "./output-spec.ts";
import { registryExporter } from "./registry-exporter.ts";
import { storeExporter } from "./store-exporter.ts";

/**
 * Makes an exporter to the local store, a registry, or one after the other; `undefined` when neither is asked for. The
 * result is the last one's. Compression is for pushed layers: the store lists layers as tars, unless it must know the
 * digest of the pushed image.
 */
export function imageExporter(
  output: ImageOutput,
  deps: LayerSources & {
    /** Returns the client, made on first use: a build without a push loads no HTTP client. */
    readonly client: () => Promise<RegistryClient>;
  },
): Exporter | undefined {
  if (!output.push) return output.store ? storeExporter(output, deps) : undefined;
  return {
    description: output.store ? "exporting to image and pushing to registry" : "pushing to registry",
    async export(result, progress, signal): Promise<Exported> {
      const [first] = namesOf(output.image, result);
      // Layers are sent while they are compressed, whichever of the two outputs needs them compressed first.
      await using early = first === undefined ? undefined : new EarlyUploads(first, deps.client);
      const sources: LayerSources = {
        ...deps,
        ...(early === undefined ? {} : { onCompress: (layer, blob) => early.begin(layer, blob, signal) }),
      };
      const { canonical } = output.digestNames;
      const kept = canonical ? output : { ...output, image: { ...output.image, compression: undefined } };
      if (output.store) await storeExporter(kept, sources).export(result, progress, signal);
      const exported = await registryExporter(output, { ...sources, client: deps.client, early }).export(
        result,
        progress,
        signal,
      );
      // Answers of registries about these names are outdated now.
      if (!output.pushByDigest) for (const name of exported.names) deps.store.pulled.forget(name);
      return exported;
    },
  };
}
