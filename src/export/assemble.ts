import type { Digest } from "../../lib/core/digest.ts";
import { mapLimit } from "../../lib/core/limits.ts";
import { serializeImageConfig } from "../../lib/core/image-config.ts";
import type { Descriptor } from "../../lib/core/oci.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { formatPlatform, type Platform } from "../../lib/core/platform.ts";
import { BuildError } from "../../lib/core/errors.ts";
import {
  type Document,
  configDescriptor,
  descriptorPlatform,
  existingDocument,
  indexDocument,
  manifestDocument,
  manifestLayer,
} from "./documents.ts";
import type { ExportProgress, Result, ResultImage } from "./exporter.ts";
import { clampTimes } from "./history.ts";
import { type AttestationDocuments, attest, attestAsReferrers } from "./attestation.ts";
import { formOf, type Layer, type LayerForm, type LayerSources, layerContent } from "./layers.ts";
import { type AnnotationOption, type ImageOptions, namesOf } from "./output-spec.ts";
import { rewriteTimestamps } from "./rewrite.ts";
import { splitLayers } from "./split-layers.ts";

/** Limit of layers compressed or looked up concurrently; each holds a few blocks of memory. */
const LAYERS_AT_ONCE = 4;

/** One image in the form that an exporter writes: all documents, and readable layers. */
export interface AssembledImage {
  readonly platform: Platform;
  readonly image: ResultImage;
  readonly config: Document;
  readonly manifest: Document;
  /** One per layer, in order; a repeated layer is repeated. */
  readonly layers: readonly Layer[];
  /** The image's attestations in the index. */
  readonly attestations: AttestationDocuments | undefined;
  /** Artifacts that refer to the image. */
  readonly referrers: readonly AttestationDocuments[];
}

export interface Assembled {
  readonly images: readonly AssembledImage[];
  /** Present for several platforms, or when asked for. */
  readonly index: Document | undefined;
  /** Descriptor of the index, else of the manifest; with `index-descriptor` annotations. */
  readonly root: Descriptor;
  /** True when it is identified by its index alone, even with one image in it. */
  readonly multiPlatform: boolean;
}

/**
 * Assembles a result.
 * @throws {BuildError} `export/unsupported` for annotations that have no place in this result
 */
export async function assemble(
  result: Result,
  options: ImageOptions,
  deps: LayerSources,
  progress: Pick<ExportProgress, "sink">,
  signal: AbortSignal,
): Promise<Assembled> {
  const form = formOf(options);
  const asReferrers = result.attestStyle === "referrers";
  const isAttested = !asReferrers && result.images.some(({ attestations = [] }) => attestations.length > 0);
  const withIndex = result.multiPlatform || result.images.length > 1 || isAttested;
  checkAnnotations(options.annotations, result, withIndex);
  const names = namesOf(options, result);
  const images = await mapLimit(result.images, 1, signal, async (image) => {
    const assembled = await assembleImage(image, options, { ...deps, form, progress: progress.sink }, signal);
    const { manifest, platform } = assembled;
    const { attestations = [] } = image;
    if (attestations.length === 0) return { ...assembled, attestations: undefined, referrers: [] };
    const subject = { manifest: manifest.descriptor, platform, names };
    if (asReferrers)
      return { ...assembled, attestations: undefined, referrers: attestAsReferrers(subject, attestations) };
    return { ...assembled, attestations: attest(subject, attestations, form.family), referrers: [] };
  });
  const [first] = images;
  if (first === undefined) throw new Error("a result without images");
  const index = withIndex ? (sameIndex(result, images, options) ?? newIndex(images, options)) : undefined;
  const root = {
    ...(index ?? first.manifest).descriptor,
    ...annotated(options.annotations, "index-descriptor", undefined),
  };
  return { images, index, root, multiPlatform: result.multiPlatform };
}

function newIndex(images: readonly AssembledImage[], { mediaTypes, annotations }: ImageOptions): Document {
  return indexDocument({
    family: mediaTypes,
    manifests: [
      ...images.map(({ manifest, platform }) => ({
        ...manifest.descriptor,
        ...annotated(annotations, "manifest-descriptor", platform),
        platform: descriptorPlatform(platform),
      })),
      ...images.flatMap(({ attestations }) => attestations?.manifest.descriptor ?? []),
    ],
    annotations: annotationsFor(annotations, "index", undefined),
  });
}

/** Returns the existing index, when it lists these very manifests and nothing is to be added. */
function sameIndex(
  { index }: Result,
  images: readonly AssembledImage[],
  { annotations }: ImageOptions,
): Document | undefined {
  if (index === undefined || annotations.length > 0 || index.manifests.length !== images.length) return undefined;
  const isSame = images.every(({ manifest }, at) => manifest.descriptor.digest === index.manifests[at]);
  return isSame ? existingDocument(index.mediaType, index.bytes) : undefined;
}

async function assembleImage(
  original: ResultImage,
  options: ImageOptions,
  deps: LayerSources & { readonly form: LayerForm; readonly progress: ProgressSink },
  signal: AbortSignal,
): Promise<Omit<AssembledImage, "attestations" | "referrers">> {
  const { form } = deps;
  const epoch = options.sourceDateEpoch ?? original.sourceDateEpoch;
  let image = original;
  if (options.sourceDateEpoch !== undefined) {
    image = { ...image, config: clampTimes(image.config, image.baseHistoryCount, options.sourceDateEpoch) };
  }
  if (options.rewriteTimestamp && epoch !== undefined) image = await rewriteTimestamps(image, epoch, deps, signal);
  if (options.layerBytes !== undefined) {
    image = await splitLayers(image, options.layerBytes, deps, deps.progress, signal);
  }
  // Another writer's configuration has another order of members, or redundant members: serializing it again would
  // change its digest.
  const documents = image === original ? original.documents : undefined;
  const bytes = Buffer.from(documents?.config ?? serializeImageConfig(image.config));
  const config = { bytes, descriptor: configDescriptor(form.family, bytes) };
  const layers = await mapLimit(image.layers, LAYERS_AT_ONCE, signal, (layer, inner) =>
    layerContent(layer, form, deps, inner),
  );
  const isSame =
    options.annotations.length === 0 &&
    documents !== undefined &&
    documents.layers.length === layers.length &&
    layers.every((layer, at) => layer.descriptor.digest === documents.layers[at]);
  if (isSame) {
    const manifest = existingDocument(documents.mediaType, documents.manifest);
    return { platform: image.platform, image, config, manifest, layers };
  }
  const manifest = manifestDocument({
    family: form.family,
    config: config.descriptor,
    layers: layers.map((layer) => manifestLayer(form.family, layer.descriptor)),
    annotations: annotationsFor(options.annotations, "manifest", image.platform),
  });
  return { platform: image.platform, image, config, manifest, layers };
}

function checkAnnotations(annotations: readonly AnnotationOption[], result: Result, withIndex: boolean): void {
  const platforms = result.images.map((image) => formatPlatform(image.platform));
  for (const annotation of annotations) {
    if (!withIndex && (annotation.target === "index" || annotation.target === "manifest-descriptor")) {
      throw new BuildError(
        "export/unsupported",
        `Cannot annotate the ${annotation.target}: a result of one platform has no index`,
        { hint: "build several platforms, or annotate the manifest" },
      );
    }
    if (annotation.platform !== undefined && !platforms.includes(annotation.platform)) {
      throw new BuildError(
        "export/unsupported",
        `Cannot annotate platform ${JSON.stringify(annotation.platform)}: the result has ${platforms.join(", ")}`,
      );
    }
  }
}

function annotationsFor(
  annotations: readonly AnnotationOption[],
  target: AnnotationOption["target"],
  platform: Platform | undefined,
): Readonly<Record<string, string>> {
  const own = platform === undefined ? undefined : formatPlatform(platform);
  return Object.fromEntries(
    annotations
      .filter((one) => one.target === target && (one.platform === undefined || one.platform === own))
      .map((one) => [one.key, one.value]),
  );
}

function annotated(
  annotations: readonly AnnotationOption[],
  target: AnnotationOption["target"],
  platform: Platform | undefined,
): { annotations?: Readonly<Record<string, string>> } {
  const found = annotationsFor(annotations, target, platform);
  return Object.keys(found).length === 0 ? {} : { annotations: found };
}

/** Returns the identity of a result: its manifest or index, and for one image also its configuration. */
export function identityOf({ root, images, multiPlatform }: Assembled): {
  readonly manifest: Descriptor;
  readonly configDigest?: Digest;
} {
  const [image, ...others] = images;
  const isOne = image !== undefined && others.length === 0 && !multiPlatform;
  return { manifest: root, ...(isOne ? { configDigest: image.config.descriptor.digest } : {}) };
}
