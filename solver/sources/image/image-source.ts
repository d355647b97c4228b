import { buffer } from "node:stream/consumers";
import { MAX_CONFIG_BYTES, parseImageConfig } from "../../../lib/core/image-config.ts";
import { debug, timed } from "../../../lib/core/debug.ts";
import type { Digest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import type { Manifest } from "../../../lib/core/oci.ts";
import type { Platform } from "../../../lib/core/platform.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import { formatReference, type ImageRef, parseReference } from "../../../lib/core/reference.ts";
import type { Native } from "../../../lib/native/native.ts";
import { formatRepository, type RemoteManifest } from "../../../lib/registry/registry.ts";
import { selectPlatform } from "../../../lib/registry/select-platform.ts";
import type { StoredImage } from "../../../lib/store/model.ts";
import { layerId } from "../../../lib/store/snapshot-id.ts";
import type { NewSnapshot, PulledName, Store } from "../../../lib/store/store.ts";
import type { Clock, ImageSource, ResolvedImage, Snapshotter } from "../../ports.ts";
import type { BlobPlaces } from "./open-blob.ts";
import { materializeLayers } from "./materialize.ts";

/** The places of layers' blobs are opened only when something has to be fetched: that takes longer than a cached build. */
export interface ImageSourceDeps extends BlobPlaces {
  readonly store: Store;
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  readonly progress: ProgressSink;
  readonly clock: Clock;
}

/**
 * Limit on nested indexes. Attestations and build farms make indexes in indexes; more than two levels do not occur in
 * practice.
 */
const MAX_INDEX_DEPTH = 4;

/**
 * Makes the source of images: from the store, or else from their registries. Resolving fetches documents only; layers
 * stay absent until `materialize` is asked for their files.
 */
export function createImageSource(deps: ImageSourceDeps): ImageSource {
  return {
    async resolve(text, { platform, mode, name }, signal) {
      const ref = parseReference(text);
      const stored = mode === "pull" && ref.digest === undefined ? undefined : fromStore(ref, platform, deps);
      if (stored?.image !== undefined) return resolved(ref, stored.image, stored.pulled);
      if (mode === "local") throw notHere(text);
      const image =
        stored === undefined
          ? await pull(ref, platform, { ...deps, name: name ?? "of the registry" }, signal)
          : await fetchMember(ref, stored.wanted, { ...deps, platform }, signal);
      return resolved(ref, image, undefined);
    },

    ask: (text, at, signal) => askAgain(parseReference(text), at, deps, signal),

    async stack({ ref, manifest }, signal) {
      const stored = deps.store.images.get(manifest);
      if (stored !== undefined) return stored.layers;
      return (await fetchMember(parseReference(ref), manifest, { ...deps, platform: undefined }, signal)).layers;
    },

    materialize: (stack, step, signal) => materializeLayers(stack, step, deps, signal),
  };
}

function resolved(ref: ImageRef, image: StoredImage, pulled: PulledName | undefined): ResolvedImage {
  return { ref: formatReference(ref), manifest: image.manifestDigest, config: image.config, pulled };
}

/** The store's answer for a name. It may have an index that names the wanted manifest, but not that manifest. */
interface InStore {
  readonly wanted: Digest;
  readonly image: StoredImage | undefined;
  readonly pulled: PulledName | undefined;
}

/** Resolves a name from the store. A name that a user gave here comes before its meaning in its registry. */
function fromStore(ref: ImageRef, platform: Platform, deps: ImageSourceDeps): InStore | undefined {
  const { images, refs, pulled: pulledNames } = deps.store;
  const name = formatReference(ref);
  const given = ref.digest ?? refs.get(name)?.target.digest;
  const pulled = given === undefined ? pulledNames.get(name) : undefined;
  const digest = given ?? pulled?.target.digest;
  if (digest === undefined) return undefined;
  let wanted = digest;
  for (let depth = 0; depth <= MAX_INDEX_DEPTH; depth += 1) {
    const image = images.get(wanted);
    if (image !== undefined) return { wanted, image, pulled };
    const index = images.getIndex(wanted);
    if (index === undefined) return wanted === digest ? undefined : { wanted, image: undefined, pulled };
    wanted = selectPlatform(index, platform, name).digest;
  }
  return { wanted, image: undefined, pulled };
}

async function pull(
  ref: ImageRef,
  platform: Platform,
  deps: ImageSourceDeps & { readonly name: "of the registry" | "of the store" },
  signal: AbortSignal,
): Promise<StoredImage> {
  const registry = await deps.registry();
  const name = formatReference(ref);
  const remote = await timed("sources", `ask for ${name}`, () => registry.resolve(ref, signal));
  debug("sources", () => `${name} is ${remote.descriptor.digest}`);
  // A name with a digest does not tell where its tag points now.
  const isTag = ref.digest === undefined;
  const names = isTag && deps.name === "of the store" ? [name] : [];
  const image = await keepPulled(ref, remote, { platform, names }, deps, signal);
  // The name last, so that a reader of the name finds an image behind it.
  if (isTag && deps.name === "of the registry") deps.store.pulled.answered(name, remote.descriptor);
  return image;
}

async function keepPulled(
  ref: ImageRef,
  remote: RemoteManifest,
  { platform, names }: { readonly platform: Platform; readonly names: readonly string[] },
  deps: ImageSourceDeps,
  signal: AbortSignal,
): Promise<StoredImage> {
  if (remote.document.kind === "manifest") return fetchImage(ref, remote, names, deps, signal);
  const wanted = selectPlatform(remote.document.index, platform, formatReference(ref));
  const member = { ...deps, platform, depth: 1 };
  const image = deps.store.images.get(wanted.digest) ?? (await fetchMember(ref, wanted.digest, member, signal));
  deps.store.images.putIndex({ bytes: remote.bytes, names });
  return image;
}

/** Fetches one image by its manifest's digest; `platform` chooses among the members of a nested index. */
async function fetchMember(
  ref: ImageRef,
  digest: Digest,
  deps: ImageSourceDeps & { readonly platform: Platform | undefined; readonly depth?: number },
  signal: AbortSignal,
): Promise<StoredImage> {
  const { platform, depth = 0 } = deps;
  const remote = await (await deps.registry()).fetchManifest(ref, { digest }, signal);
  if (remote.document.kind === "manifest" || platform === undefined) return fetchImage(ref, remote, [], deps, signal);
  const where = formatReference(ref);
  if (depth === MAX_INDEX_DEPTH) {
    throw new BuildError(
      "registry/malformed",
      `Cannot use ${JSON.stringify(where)}: its indexes list each other endlessly`,
    );
  }
  const wanted = selectPlatform(remote.document.index, platform, where).digest;
  const image =
    deps.store.images.get(wanted) ?? (await fetchMember(ref, wanted, { ...deps, depth: depth + 1 }, signal));
  deps.store.images.putIndex({ bytes: remote.bytes, names: [] });
  return image;
}

async function askAgain(
  ref: ImageRef,
  { platform, answerMs }: { readonly platform: Platform; readonly answerMs: number },
  deps: ImageSourceDeps,
  signal: AbortSignal,
): Promise<ResolvedImage | undefined> {
  const { pulled } = deps.store;
  const name = formatReference(ref);
  const before = fromStore(ref, platform, deps);
  try {
    const registry = await deps.registry();
    const now = await withinTime(answerMs, name, signal, (s) => registry.describe(ref, "one", s));
    if (now.digest === before?.pulled?.target.digest) {
      pulled.answered(name, now);
      return undefined;
    }
    const image = await pull(ref, platform, { ...deps, name: "of the registry" }, signal);
    return image.manifestDigest === before?.image?.manifestDigest ? undefined : resolved(ref, image, undefined);
  } catch (error) {
    signal.throwIfAborted();
    pulled.tried(name);
    throw error;
  }
}

/**
 * Runs `work` with a time limit.
 * @throws {BuildError} `registry/unreachable` when the time is over
 */
async function withinTime<T>(
  ms: number,
  name: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = AbortSignal.timeout(ms);
  try {
    return await work(AbortSignal.any([signal, limit]));
  } catch (error) {
    signal.throwIfAborted();
    if (!limit.aborted) throw error;
    throw new BuildError(
      "registry/unreachable",
      `Cannot look up ${JSON.stringify(name)}: no answer within ${ms / 1000} s`,
      { cause: error },
    );
  }
}

/** Stores an image with a fetched manifest: its configuration is fetched now, its layers are only recorded. */
async function fetchImage(
  ref: ImageRef,
  remote: RemoteManifest,
  names: readonly string[],
  deps: ImageSourceDeps,
  signal: AbortSignal,
): Promise<StoredImage> {
  const where = JSON.stringify(formatReference(ref));
  if (remote.document.kind !== "manifest") {
    throw new BuildError("registry/malformed", `Cannot read the manifest of ${where}: an index lists another index`);
  }
  const { manifest } = remote.document;
  const config = await fetchConfig(ref, manifest, deps, signal);
  const { diff_ids: diffIds } = parseImageConfig(config, where).rootfs;
  if (diffIds.length !== manifest.layers.length) {
    throw new BuildError(
      "image/config",
      `Cannot use ${where}: its configuration names ${diffIds.length} layers, and its manifest ${manifest.layers.length}`,
      { hint: "it may be no container image but an artifact that is kept in a registry" },
    );
  }
  const repository = formatRepository(ref);
  const layers = diffIds.map((diffId) => layerOf(diffId, deps.store));
  return deps.store.images.put({
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

/** Finds a present snapshot with these files, or makes a row for an absent one. */
function layerOf(diffId: Digest, store: Store): NewSnapshot {
  const present = store.snapshots.byDiffId(diffId).find((row) => row.state === "present");
  if (present !== undefined) return { id: present.id, state: "present", diffId };
  return { id: layerId(diffId), state: "absent", diffId };
}

async function fetchConfig(
  ref: ImageRef,
  { config }: Manifest,
  deps: ImageSourceDeps,
  signal: AbortSignal,
): Promise<Buffer> {
  if (config.size > MAX_CONFIG_BYTES) {
    throw new BuildError(
      "image/config",
      `Cannot use ${JSON.stringify(formatReference(ref))}: its configuration has ${config.size} bytes`,
    );
  }
  const known = deps.store.blobs.readBytes(config.digest, MAX_CONFIG_BYTES);
  if (known !== undefined) return known;
  const client = await deps.registry();
  for (;;) {
    try {
      // The client verifies it: the stream ends with an error when size or digest differ.
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
