import type { Digest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import type { Index } from "../../../lib/core/oci.ts";
import { formatPlatform, type Platform } from "../../../lib/core/platform.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { selectPlatform } from "../../../lib/registry/select-platform.ts";
import type { StoredImage } from "../../../lib/store/model.ts";
import type { Store } from "../../../lib/store/store.ts";
import { flatIndex } from "./flat-index.ts";
import { layersSize } from "./image-size.ts";

/** An image to show: alone, or as one platform of the requested index. */
export interface ImageView {
  /** Digest of the requested manifest or index. */
  readonly digest: Digest;
  readonly image: StoredImage;
  readonly index: Index | undefined;
}

/** Docker's facts about an image, and kiln's own. */
export type ImageFacts = ReturnType<typeof summaryOf>;

/** Lists all facts about an image by docker's names. */
export function summaryOf(store: Store, { digest, image, index }: ImageView) {
  const { config } = image;
  const tags = [...new Set([digest, image.manifestDigest])].flatMap((one) =>
    store.refs.namesOf(one).map((name) => ({ name: parseReference(name), digest: one })),
  );
  const repositories = tags.map(({ name, digest: tagged }) =>
    familiarReference({ ...name, tag: undefined, digest: tagged }),
  );
  return {
    // A build for several platforms is identified by its index, as in `images` and `-q`.
    Id: index === undefined ? image.configDigest : digest,
    RepoTags: [...new Set(tags.map(({ name }) => familiarReference(name)))],
    RepoDigests: [...new Set(repositories)],
    Parent: "",
    Comment: config.history.at(-1)?.comment ?? "",
    ManifestDigest: image.manifestDigest,
    ...(index === undefined
      ? {}
      : {
          IndexDigest: digest,
          Manifests: index.manifests.map((one) => ({
            Digest: one.digest,
            Platform: one.platform === undefined ? undefined : formatPlatform(one.platform),
          })),
        }),
    Created: config.created,
    DockerVersion: "",
    Author: config.author ?? "",
    Architecture: config.architecture,
    Variant: config.variant,
    Os: config.os,
    OsVersion: config["os.version"],
    Size: layersSize(image.layers, store),
    Descriptor: {
      mediaType: index?.mediaType ?? image.manifest.mediaType,
      digest,
      size: store.blobs.sizeOf(digest) ?? 0,
    },
    Config: config.config,
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Layers: image.manifest.layers,
    Snapshots: image.layers.map((id) => ({ Id: id, State: store.snapshots.get(id)?.state })),
  };
}

/**
 * Finds an image by reference, id or the beginning of an id. An index is shown with its image for the platform, or, where
 * that is not required, with the first image that is there.
 * @throws {BuildError} `image/not-found`, `image/platform`
 */
export function viewImage(
  store: Store,
  text: string,
  { platform, isRequired }: { readonly platform: Platform; readonly isRequired: boolean },
): ImageView {
  const found = store.images.find(text);
  if (found.kind === "image") return { digest: found.image.manifestDigest, image: found.image, index: undefined };
  const index = flatIndex(found.index, store.images);
  const here = index.manifests.flatMap((one) => store.images.get(one.digest) ?? []);
  const match = here.find(
    ({ config: { os, architecture } }) => os === platform.os && architecture === platform.architecture,
  );
  const image = match ?? (isRequired ? store.images.get(selectPlatform(index, platform, text).digest) : here[0]);
  if (image === undefined) {
    throw new BuildError(
      "image/not-found",
      `Cannot use ${JSON.stringify(text)}: the image for this platform is not in the store`,
      { hint: `run \`kiln pull ${text}\`` },
    );
  }
  return { digest: found.digest, image, index: isRequired ? undefined : found.index };
}
