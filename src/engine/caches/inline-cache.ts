import { BuildError } from "../../../lib/core/errors.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import { imageLeaves, type ImageOptions, type OutputSpec } from "../../export/output-spec.ts";
import { encodeInline, INLINE_KEY } from "../../../solver/cache/remote/inline.ts";
import { RecordEntries } from "./cache-entries.ts";
import { type CacheParts, recordsOf } from "./cache-export.ts";
import type { CacheTo } from "./cache-options.ts";
import { openSigner } from "./cache-signer.ts";
import type { BuildParts } from "../build-parts.ts";
import type { LayerPacker } from "../images/layer-packer.ts";
import type { SolvedBuild } from "../solve-build.ts";

/** Adds records of the images' own layers to outputs, as an annotation, where `type=inline` asks for that. */
export async function withInlineCaches(
  solved: SolvedBuild,
  parts: CacheParts & Pick<BuildParts, "outputs">,
  packer: LayerPacker,
  signal: AbortSignal,
): Promise<readonly OutputSpec[]> {
  const { outputs } = parts;
  const inline = parts.options.cache?.to.find(({ place }) => place.kind === "inline");
  if (inline === undefined) return outputs;
  return mapLimit(outputs, 1, signal, async (output, inner) => {
    // The records of an image that stays here are in the store.
    if (!("image" in output) || !imageLeaves(output)) return output;
    if (output.image.rewriteTimestamp) {
      throw new BuildError("cache/export-failed", "Cannot put the cache into an image with rewritten times", {
        hint: "its layers are not those of the steps: use --cache-to type=registry",
      });
    }
    if (output.image.layerBytes !== undefined) {
      throw new BuildError("cache/export-failed", "Cannot put the cache into an image with split layers", {
        hint: "its layers are not those of the steps: use --cache-to type=registry",
      });
    }
    const value = await inlineRecords(output.image, inline, { solved, parts, packer }, inner);
    const annotation = { target: "manifest", platform: undefined, key: INLINE_KEY, value } as const;
    return { ...output, image: { ...output.image, annotations: [...output.image.annotations, annotation] } };
  });
}

/** Writes the records of an image's own layers as one text. */
async function inlineRecords(
  image: ImageOptions,
  cache: CacheTo,
  build: { readonly solved: SolvedBuild; readonly parts: CacheParts; readonly packer: LayerPacker },
  signal: AbortSignal,
): Promise<string> {
  const { solved, parts, packer } = build;
  const form = {
    family: image.mediaTypes,
    compression: image.compression,
    level: image.compressionLevel,
    force: image.forceCompression,
  };
  // Base layers are part of the image, but users of its records get them by FROM.
  const entries = new RecordEntries(parts.engine, packer, form, { producer: cache.producer, repository: undefined });
  const signer = await openSigner(cache, parts.engine, signal);
  const records = recordsOf(solved, parts.imports, { ...cache, mode: "min" });
  const documents = await mapLimit(records, 4, signal, async ({ key, record }, inner) => {
    const { names, text } = await entries.of(key, record, inner);
    return names.map((name) => [name, signer.sign(name, text)] as const);
  });
  return encodeInline(new Map(documents.flat()));
}
