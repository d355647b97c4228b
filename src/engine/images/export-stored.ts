import { BuildError } from "../../../lib/core/errors.ts";
import { MAX_CONFIG_BYTES } from "../../../lib/core/image-config.ts";
import { MAX_MANIFEST_BYTES } from "../../../lib/core/manifest.ts";
import { type Platform, formatPlatform, normalizePlatform } from "../../../lib/core/platform.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import type { Exported, Result, ResultImage, ResultLayer } from "../../export/exporter.ts";
import type { OutputSpec } from "../../export/output-spec.ts";
import { selectPlatform } from "../../../lib/registry/select-platform.ts";
import type { StoredImage } from "../../../lib/store/model.ts";
import type { Store } from "../../../lib/store/store.ts";
import { formatReference, parseReference } from "../../../lib/core/reference.ts";
import { checkOutputs } from "./check-outputs.ts";
import { flatIndex } from "./flat-index.ts";
import { type ExporterParts, exporterFor } from "./outputs.ts";
import { shownStep } from "../shown-step.ts";

/** Sends an image of the store, or all platforms of an index, to an output. `platform` chooses one of them. */
export async function exportStored(
  engine: ExporterParts,
  what: {
    readonly image: string;
    readonly platform?: Platform | undefined;
    readonly output: OutputSpec;
    readonly progress: ProgressSink;
  },
  signal: AbortSignal,
): Promise<Exported | undefined> {
  const { environment, store } = engine;
  checkOutputs([what.output], {}, environment);
  const result = storedResult(store, what);
  const exporter = exporterFor(what.output, engine);
  if (exporter === undefined) return undefined;
  const { description } = exporter;
  const { progress } = what;
  const display = { stepId: description, sink: progress, nowMs: () => environment.nowMs() };
  return shownStep(description, { progress, clock: environment }, () => exporter.export(result, display, signal));
}

/** Makes a result of an image of the store, as if it had just been built. */
export function storedResult(
  store: Store,
  what: { readonly image: string; readonly platform?: Platform | undefined; readonly progress: ProgressSink },
): Result {
  const { image: text, platform, progress } = what;
  const found = store.images.find(text);
  const names = found.name === undefined ? [] : [formatReference(parseReference(found.name))];
  if (found.kind === "image") return { images: [resultOf(store, found.image)], multiPlatform: false, names };
  const index = flatIndex(found.index, store.images);
  const members = platform === undefined ? index.manifests : [selectPlatform(index, platform, JSON.stringify(text))];
  const images = members.flatMap((entry) => store.images.get(entry.digest) ?? []);
  if (images.length === 0) {
    throw new BuildError(
      "image/not-found",
      `Cannot use ${JSON.stringify(text)}: ${platform === undefined ? "none of its platforms is" : `${formatPlatform(platform)} is not`} in the store`,
    );
  }
  const [only] = images;
  if (platform !== undefined && only !== undefined) {
    return { images: [resultOf(store, only)], multiPlatform: false, names };
  }
  if (images.length < members.length) {
    progress({
      kind: "notice",
      level: "warning",
      message: `Only ${images.length} of the ${members.length} manifests of ${JSON.stringify(text)} are in the store: the rest is left out`,
      hint: "pull the other platforms first, with --platform",
    });
  }
  const { mediaType, manifests } = index;
  // A nested index is written as a flat one: the nesting has no meaning, and not every client reads it.
  const bytes = index === found.index ? store.blobs.readBytes(found.digest, MAX_MANIFEST_BYTES) : undefined;
  return {
    images: images.map((image) => resultOf(store, image)),
    multiPlatform: true,
    names,
    ...(bytes === undefined ? {} : { index: { bytes, mediaType, manifests: manifests.map(({ digest }) => digest) } }),
  };
}

/**
 * Makes a result of a stored image, as if just built. A layer with another blob in its manifest than its tar came from
 * outside.
 */
function resultOf(store: Store, image: StoredImage): ResultImage {
  const { config } = image;
  const layers = image.layers.flatMap((snapshot, index): ResultLayer[] => {
    const diffId = config.rootfs.diff_ids[index];
    if (diffId === undefined) return [];
    const blob = image.manifest.layers[index]?.digest;
    const origin = blob === diffId ? "built" : "base";
    return [{ diffId, snapshot, origin, blob, tarSizeBytes: store.snapshots.get(snapshot)?.tarSizeBytes }];
  });
  return {
    platform: platformOf(image),
    config,
    layers,
    baseHistoryCount: config.history.length,
    sourceDateEpoch: undefined,
    ...documentsOf(store, image),
  };
}

function documentsOf(store: Store, image: StoredImage): Pick<ResultImage, "documents"> {
  const config = store.blobs.readBytes(image.configDigest, MAX_CONFIG_BYTES);
  const manifest = store.blobs.readBytes(image.manifestDigest, MAX_MANIFEST_BYTES);
  if (config === undefined || manifest === undefined) return {};
  const { mediaType, layers } = image.manifest;
  return { documents: { config, manifest, mediaType, layers: layers.map(({ digest }) => digest) } };
}

function platformOf({ config }: StoredImage): Platform {
  return normalizePlatform({
    os: config.os,
    architecture: config.architecture,
    ...(config.variant === undefined ? {} : { variant: config.variant }),
  });
}
