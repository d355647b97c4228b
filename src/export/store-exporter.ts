import { type Digest, digestOf } from "../../lib/core/digest.ts";
import { serializeImageConfig } from "../../lib/core/image-config.ts";
import { mapLimit } from "../../lib/core/limits.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { formatReference, parseReference } from "../../lib/core/reference.ts";
import { assemble, identityOf } from "./assemble.ts";
import { type Exported, type Exporter, type Result, withoutAttestations } from "./exporter.ts";
import type { LayerSources } from "./layers.ts";
import { type DigestNames, type ImageOptions, type ImageOutput, namesOf } from "./output-spec.ts";
import { reportSubtask } from "./report.ts";
import { rewriteForStore } from "./rewrite.ts";
import { splitLayers } from "./split-layers.ts";
import type { Store } from "../../lib/store/store.ts";

/**
 * Makes the exporter to the local store. It writes documents and names, but no layers: those built here are listed as
 * uncompressed tars, which are made again from their snapshots when read. When the store has this very image under
 * these names, nothing is written at all.
 */
export function storeExporter(
  { image: options, push, pushByDigest, unpack, digestNames }: ImageOutput,
  deps: LayerSources,
): Exporter {
  // A name with a digest must have that of the pushed image.
  const plain = push && digestNames.canonical ? undefined : "uncompressed";
  const form: ImageOptions = {
    ...options,
    compression: options.compression ?? plain,
    rewriteTimestamp: false,
    layerBytes: undefined,
  };
  return {
    description: "exporting to image",
    async export(attested, progress, signal) {
      const { result: whole, kept } = await rewriteForStore(withoutAttestations(attested), options, deps, signal);
      const result = await splitForStore(whole, options.layerBytes, { ...deps, progress: progress.sink }, signal);
      // An image pushed without a tag must not have one here.
      const given = pushByDigest ? [] : namesOf(options, result);
      const hasOnlyGiven = !digestNames.canonical && digestNames.danglingPrefix === undefined;
      if (unpack)
        for (const image of result.images)
          await deps.materialize(
            image.layers.map((layer) => layer.snapshot),
            signal,
          );
      const before =
        options.annotations.length === 0 && hasOnlyGiven ? unchanged(result, given, deps.store) : undefined;
      if (before !== undefined) return before;
      const assembled = await assemble(result, form, deps, progress, signal);
      const names = [...given, ...withDigest(digestNames, namesOf(options, result), assembled.root.digest)];
      for (const one of assembled.images) {
        deps.store.images.put({
          manifest: one.manifest.bytes,
          config: one.config.bytes,
          mediaType: one.manifest.descriptor.mediaType,
          layers: one.image.layers.map((layer) => layer.snapshot),
          newSnapshots: kept.map(({ row }) => row),
          layerBlobs: kept.map(({ blob }) => blob),
          names: assembled.index === undefined ? names : [],
        });
        reportSubtask(progress, `writing image ${one.config.descriptor.digest}`);
      }
      if (assembled.index !== undefined) deps.store.images.putIndex({ bytes: assembled.index.bytes, names });
      for (const name of names) reportSubtask(progress, `naming to ${name}`);
      return {
        ...identityOf(assembled),
        names,
      };
    },
  };
}

async function splitForStore(
  result: Result,
  layerBytes: number | undefined,
  deps: LayerSources & { readonly progress: ProgressSink },
  signal: AbortSignal,
): Promise<Result> {
  if (layerBytes === undefined) return result;
  const images = await mapLimit(result.images, 1, signal, (image, inner) =>
    splitLayers(image, layerBytes, deps, deps.progress, inner),
  );
  return { ...result, images };
}

function withDigest(
  { canonical, danglingPrefix, dangling }: DigestNames,
  names: readonly string[],
  digest: Digest,
): string[] {
  const isDangling = danglingPrefix !== undefined && (dangling === "always" || names.length === 0);
  return [...(canonical ? names : []), ...(isDangling ? [danglingPrefix] : [])].map((name) =>
    formatReference({ ...parseReference(name), tag: undefined, digest }),
  );
}

function unchanged(result: Result, names: readonly string[], store: Store): Exported | undefined {
  const [image] = result.images;
  if (image === undefined || result.images.length > 1 || result.multiPlatform) return undefined;
  const configDigest = digestOf(serializeImageConfig(image.config));
  const manifest = store.images.manifestOfConfig(configDigest);
  if (manifest === undefined) return undefined;
  if (names.length === 0) {
    const size = store.blobs.sizeOf(manifest);
    const mediaType = store.images.get(manifest)?.manifest.mediaType;
    return size === undefined || mediaType === undefined
      ? undefined
      : { manifest: { mediaType, digest: manifest, size }, configDigest, names };
  }
  const targets = names.map((name) => store.refs.get(name)?.target);
  const [target] = targets;
  if (target === undefined || !targets.every((other) => other?.digest === manifest)) return undefined;
  return { manifest: target, configDigest, names };
}
