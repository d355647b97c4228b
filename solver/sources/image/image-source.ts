import { buffer } from "node:stream/consumers";
import { parseImageConfig } from "../../../src/core/image-config.ts";
import { type Digest, hexOf } from "../../../src/core/digest.ts";
import { BuildError } from "../../../src/core/errors.ts";
import type { Manifest } from "../../../src/core/oci.ts";
import type { Platform } from "../../../src/core/platform.ts";
import type { ProgressSink } from "../../../src/core/progress.ts";
import { formatReference, type ImageRef, parseReference } from "../../../src/core/reference.ts";
import type { Native } from "../../../src/native/native.ts";
import { formatRepository, type RegistryClient, type RemoteManifest } from "../../../src/registry/registry.ts";
import { selectPlatform } from "../../../src/registry/select-platform.ts";
import type { SnapshotId, StoredImage } from "../../../src/store/model.ts";
import type { NewSnapshot, Store } from "../../../src/store/store.ts";
import type { Clock, ImageSource, ResolvedImage, Snapshotter } from "../../ports.ts";
import { materializeLayers } from "./materialize.ts";

export interface ImageSourceDeps {
  readonly store: Store;
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  /** Asked for when something has to be fetched, and not before: loading it takes longer than a cached build. */
  readonly registry: () => Promise<RegistryClient>;
  readonly progress: ProgressSink;
  readonly clock: Clock;
}

/** Configurations carry history and labels; the largest seen in the wild are tens of kilobytes. */
const MAX_CONFIG_BYTES = 8 << 20;

/**
 * Images from the store and, where that does not know them, from their registries. Resolving fetches documents only;
 * layers stay absent until `materialize` is asked for their files.
 */
export function createImageSource(on: ImageSourceDeps): ImageSource {
  return {
    async resolve(text, at, signal) {
      const ref = parseReference(text);
      const stored = at.mode === "pull" && ref.digest === undefined ? undefined : fromStore(ref, at.platform, on);
      if (stored?.kind === "image") return resolved(ref, stored.image);
      if (at.mode === "local") throw notHere(text);
      const image =
        stored === undefined
          ? await pull(ref, at.platform, on, signal)
          : await fetchImage(ref, await (await on.registry()).fetchManifest(ref, stored, signal), [], on, signal);
      return resolved(ref, image);
    },

    async stack({ ref, manifest }, signal) {
      const stored = on.store.images.get(manifest);
      if (stored !== undefined) return stored.layers;
      const name = parseReference(ref);
      const remote = await (await on.registry()).fetchManifest(name, { digest: manifest }, signal);
      return (await fetchImage(name, remote, [], on, signal)).layers;
    },

    materialize: (stack, signal, step) => materializeLayers(stack, step, on, signal),
  };
}

function resolved(ref: ImageRef, image: StoredImage): ResolvedImage {
  return { ref: formatReference(ref), manifest: image.manifestDigest, config: image.config };
}

type InStore =
  | { readonly kind: "image"; readonly image: StoredImage }
  /** An index is here, and says which manifest is wanted; that one is not. */
  | { readonly kind: "manifest"; readonly digest: Digest };

function fromStore(ref: ImageRef, platform: Platform, on: ImageSourceDeps): InStore | undefined {
  const { images, refs } = on.store;
  const digest = ref.digest ?? refs.get(formatReference(ref))?.target.digest;
  if (digest === undefined) return undefined;
  const image = images.get(digest);
  if (image !== undefined) return { kind: "image", image };
  const index = images.getIndex(digest);
  if (index === undefined) return undefined;
  const wanted = selectPlatform(index, platform, formatReference(ref)).digest;
  const member = images.get(wanted);
  return member === undefined ? { kind: "manifest", digest: wanted } : { kind: "image", image: member };
}

async function pull(ref: ImageRef, platform: Platform, on: ImageSourceDeps, signal: AbortSignal): Promise<StoredImage> {
  const registry = await on.registry();
  const remote = await registry.resolve(ref, signal);
  // A name with a digest says nothing about where its tag points now.
  const names = ref.digest === undefined ? [formatReference(ref)] : [];
  if (remote.document.kind === "manifest") return fetchImage(ref, remote, names, on, signal);
  const wanted = selectPlatform(remote.document.index, platform, formatReference(ref));
  const image =
    on.store.images.get(wanted.digest) ??
    (await fetchImage(ref, await registry.fetchManifest(ref, wanted, signal), [], on, signal));
  // The name last, so that whoever finds it finds an image behind it.
  on.store.images.putIndex({ bytes: remote.bytes, names });
  return image;
}

/** Keeps an image whose manifest has been fetched: its configuration is fetched now, its layers are only noted. */
async function fetchImage(
  ref: ImageRef,
  remote: RemoteManifest,
  names: readonly string[],
  on: ImageSourceDeps,
  signal: AbortSignal,
): Promise<StoredImage> {
  const where = JSON.stringify(formatReference(ref));
  if (remote.document.kind !== "manifest") {
    throw new BuildError("registry/malformed", `Cannot read the manifest of ${where}: an index lists another index`);
  }
  const { manifest } = remote.document;
  const config = await fetchConfig(ref, manifest, on, signal);
  const { diff_ids: diffIds } = parseImageConfig(config, where).rootfs;
  if (diffIds.length !== manifest.layers.length) {
    throw new BuildError(
      "image/config",
      `Cannot use ${where}: its configuration names ${diffIds.length} layers, and its manifest ${manifest.layers.length}`,
      { hint: "it may be no container image but an artifact that is kept in a registry" },
    );
  }
  const repository = formatRepository(ref);
  const layers = diffIds.map((diffId) => layerOf(diffId, on.store));
  return on.store.images.put({
    manifest: remote.bytes,
    config,
    mediaType: remote.descriptor.mediaType,
    layers: layers.map(({ id }) => id),
    newSnapshots: layers,
    layerBlobs: manifest.layers.flatMap((descriptor, index) => {
      const diffId = diffIds[index];
      return diffId === undefined ? [] : [{ diffId, descriptor, repository }];
    }),
    names,
  });
}

/** A snapshot with these files that is here already, whoever made it, or a row for one that is not. */
function layerOf(diffId: Digest, store: Store): NewSnapshot {
  const present = store.snapshots.byDiffId(diffId).find((row) => row.state === "present");
  if (present !== undefined) return { id: present.id, state: "present", diffId };
  return { id: `layer-${hexOf(diffId)}` as SnapshotId, state: "absent", diffId };
}

async function fetchConfig(
  ref: ImageRef,
  { config }: Manifest,
  on: ImageSourceDeps,
  signal: AbortSignal,
): Promise<Buffer> {
  if (config.size > MAX_CONFIG_BYTES) {
    throw new BuildError(
      "image/config",
      `Cannot use ${JSON.stringify(formatReference(ref))}: its configuration has ${config.size} bytes`,
    );
  }
  const known = on.store.blobs.readBytes(config.digest, MAX_CONFIG_BYTES);
  if (known !== undefined) return known;
  const client = await on.registry();
  for (;;) {
    try {
      // Verified by the client: the stream ends with an error when size or digest differ.
      return await buffer(await client.fetchBlob(ref, config, signal));
    } catch (error) {
      const isWrong = error instanceof BuildError && error.code === "digest/mismatch";
      if (!isWrong || !client.distrust(config.digest)) throw error;
    }
  }
}

function notHere(text: string): BuildError {
  return new BuildError("image/not-found", `Cannot find image ${JSON.stringify(text)} in the store`, {
    hint: `fetch it with: kiln pull ${text}`,
  });
}
