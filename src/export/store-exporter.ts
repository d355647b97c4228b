import { digestOf } from "../core/digest.ts";
import { serializeImageConfig } from "../core/image-config.ts";
import { assemble } from "./assemble.ts";
import type { Exported, Exporter, Result } from "./exporter.ts";
import type { LayerTools } from "./layers.ts";
import type { ImageOptions } from "./output-spec.ts";
import { reportSubtask } from "./report.ts";
import type { Store } from "../store/store.ts";

/**
 * The local store. Writes documents and names, no layer: what was built here is listed as uncompressed tars, which are
 * made again from their snapshots when somebody reads them. When the store has this very image under these names,
 * nothing is written at all.
 */
export function storeExporter(
  options: ImageOptions,
  on: { readonly store: Store; readonly tools: LayerTools },
): Exporter {
  const form: ImageOptions = { ...options, compression: options.compression ?? "uncompressed" };
  return {
    description: "exporting to image",
    async export(result, progress, signal) {
      const names = options.names.length > 0 ? options.names : result.names;
      const before = options.annotations.length === 0 ? unchanged(result, names, on.store) : undefined;
      if (before !== undefined) return before;
      const assembled = await assemble(result, form, on, signal);
      const [first] = assembled.images;
      for (const one of assembled.images) {
        on.store.images.put({
          manifest: one.manifest.bytes,
          config: one.config.bytes,
          mediaType: one.manifest.descriptor.mediaType,
          layers: one.image.layers.map((layer) => layer.snapshot),
          names: assembled.index === undefined ? names : [],
        });
        reportSubtask(progress, `writing image ${one.config.descriptor.digest}`);
      }
      if (assembled.index !== undefined) on.store.images.putIndex({ bytes: assembled.index.bytes, names });
      for (const name of names) reportSubtask(progress, `naming to ${name}`);
      return {
        manifest: assembled.root,
        ...(first === undefined ? {} : { configDigest: first.config.descriptor.digest }),
        names,
      };
    },
  };
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
