import { BuildError } from "../../../lib/core/errors.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import type { ImageOptions, OutputSpec } from "../../export/output-spec.ts";
import { encodeInline, INLINE_KEY } from "../../../solver/cache/remote/inline.ts";
import { RecordEntries } from "./cache-entries.ts";
import { openPacker, recordsOf, type Solved } from "./cache-export.ts";
import type { CacheTo } from "./cache-options.ts";
import { openSigner } from "./cache-signer.ts";
import type { Engine } from "../engine.ts";

/** Outputs whose images carry the records of their own layers in an annotation, where `type=inline` asks for that. */
export async function withInlineCaches(
  outputs: readonly OutputSpec[],
  caches: readonly CacheTo[],
  solved: Solved,
  engine: Engine,
  signal: AbortSignal,
): Promise<readonly OutputSpec[]> {
  const inline = caches.find(({ place }) => place.kind === "inline");
  if (inline === undefined) return outputs;
  return mapLimit(outputs, 1, signal, async (output, inner) => {
    // An image that stays here has its records beside it.
    const travels = (output.kind === "image" && output.push) || output.kind === "oci" || output.kind === "docker";
    if (!travels) return output;
    return { ...output, image: await withRecords(output.image, inline, solved, engine, inner) };
  });
}

async function withRecords(
  image: ImageOptions,
  to: CacheTo,
  solved: Solved,
  engine: Engine,
  signal: AbortSignal,
): Promise<ImageOptions> {
  if (image.rewriteTimestamp) {
    throw new BuildError("cache/export-failed", "Cannot put the cache into an image whose times are rewritten", {
      hint: "its layers are not those of the steps: use --cache-to type=registry",
    });
  }
  const packer = openPacker(engine, signal);
  try {
    const form = {
      family: image.mediaTypes,
      compression: image.compression,
      level: image.compressionLevel,
      force: image.forceCompression,
    };
    // Base layers are part of the image, but whoever takes its records gets them by FROM.
    const entries = new RecordEntries(engine, packer, form, { producer: to.producer, repository: undefined });
    const signer = await openSigner(to, engine, signal);
    const documents = await mapLimit(
      recordsOf(solved, { ...to, mode: "min" }),
      4,
      signal,
      async ({ key, record }, inner) => {
        const { names, text } = await entries.of(key, record, inner);
        return names.map((name) => [name, signer.sign(name, text)] as const);
      },
    );
    const value = encodeInline(new Map(documents.flat()));
    const annotation = { target: "manifest", platform: undefined, key: INLINE_KEY, value } as const;
    return { ...image, annotations: [...image.annotations, annotation] };
  } finally {
    await packer.settle();
  }
}
