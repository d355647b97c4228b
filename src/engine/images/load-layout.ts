import { isAbsolute, resolve } from "node:path";
import { type Digest, digestOf, hexOf, isDigest, parseDigest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { MAX_CONFIG_BYTES, parseImageConfig } from "../../../lib/core/image-config.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import { MAX_MANIFEST_BYTES, parseManifestDocument } from "../../../lib/core/manifest.ts";
import { type Descriptor, type Index, MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { type Platform, formatPlatform } from "../../../lib/core/platform.ts";
import { formatReference, parseReference } from "../../../lib/core/reference.ts";
import { goJsonIndented } from "../../export/documents.ts";
import { selectPlatform } from "../../../lib/registry/select-platform.ts";
import type { LayerBlob, StoredImage } from "../../../lib/store/model.ts";
import { layerId } from "../../../lib/store/snapshot-id.ts";
import type { NewSnapshot, Store } from "../../../lib/store/store.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { ResolvedBase } from "../../../frontend/convert/resolver.ts";
import type { Engine } from "../engine.ts";
import { LayoutFiles } from "./layout-files.ts";
import { keepDescribedLayer, keepLayerFile, pairLayers } from "./layout-layers.ts";

/** An image from a layout or archive. */
export interface LoadedImage {
  /** Full references; empty when the archive has none. */
  readonly names: readonly string[];
  /** Digest of the manifest or index. */
  readonly digest: Digest;
  /** Digest of the configuration; `undefined` for an index. */
  readonly configDigest: Digest | undefined;
}

/** Loads the image of `--build-context x=oci-layout://dir[:tag][@digest]`, for one platform, into the store. */
export async function loadLayoutImage(
  engine: Pick<Engine, "environment" | "native" | "store">,
  text: string,
  platform: Platform,
  signal: AbortSignal,
): Promise<ResolvedBase> {
  const [, path = "", tag, digestText] = /^(.*?)(?::([\w][\w.-]*))?(?:@(sha256:[0-9a-f]+))?$/.exec(text) ?? [];
  const directory = resolve(engine.environment.workingDirectory, path);
  using files = openLayout(engine.native, directory);
  const digest = digestText === undefined ? undefined : parseDigest(digestText, "an OCI layout's digest");
  const index = readIndex(files);
  const entry = index.manifests.find((one) =>
    digest === undefined ? tag === undefined || refNameOf(one) === tag : one.digest === digest,
  );
  const root = entry ?? (digest === undefined ? undefined : { mediaType: MEDIA_TYPES.ociManifest, digest, size: 0 });
  if (root === undefined) {
    throw new BuildError(
      "image/not-found",
      `Cannot find ${JSON.stringify(tag ?? "latest")} in OCI layout ${directory}`,
      {
        hint: `it has ${index.manifests.map((one) => refNameOf(one) ?? one.digest).join(", ")}`,
      },
    );
  }
  const image = await loadDescriptor(engine.store, files, root, platform, signal);
  return {
    ref: `oci-layout/${hexOf(image.manifestDigest).slice(0, 12)}:latest`,
    manifest: image.manifestDigest,
    config: image.config,
  };
}

/**
 * Loads every image of a directory with an OCI layout, or with the files of `docker save`, into the store.
 * @throws {BuildError} `archive/unsupported` when it is neither
 */
export async function loadFiles(
  store: Store,
  files: LayoutFiles,
  platform: Platform | undefined,
  signal: AbortSignal,
): Promise<LoadedImage[]> {
  if (files.has("index.json")) return loadOciLayout(store, files, platform, signal);
  if (files.has("manifest.json")) return loadDockerArchive(store, files, signal);
  throw new BuildError("archive/unsupported", "Cannot load the archive: it has neither index.json nor manifest.json", {
    hint: "`kiln load` reads OCI layouts and what `docker save` writes; a root file system is read by `kiln import`",
  });
}

async function loadOciLayout(
  store: Store,
  files: LayoutFiles,
  platform: Platform | undefined,
  signal: AbortSignal,
): Promise<LoadedImage[]> {
  const loaded = new Map<Digest, LoadedImage>();
  for (const entry of readIndex(files).manifests) {
    const name = entry.annotations?.["io.containerd.image.name"] ?? nameIn(refNameOf(entry));
    const names = [...(loaded.get(entry.digest)?.names ?? []), ...(name === undefined ? [] : [fullName(name)])];
    const bytes = readBlob(files, entry.digest, MAX_MANIFEST_BYTES);
    const document = parseManifestDocument(bytes, entry.mediaType, "the archive's manifest");
    if (document.kind === "manifest") {
      const image = await loadManifest(store, files, { bytes, mediaType: entry.mediaType, names }, signal);
      loaded.set(entry.digest, { names, digest: entry.digest, configDigest: image.configDigest });
      continue;
    }
    if (platform !== undefined) {
      const member = selectPlatform(document.index, platform, name ?? entry.digest);
      const inner = readBlob(files, member.digest, MAX_MANIFEST_BYTES);
      const image = await loadManifest(store, files, { bytes: inner, mediaType: member.mediaType, names }, signal);
      loaded.set(entry.digest, { names, digest: member.digest, configDigest: image.configDigest });
      continue;
    }
    for (const member of document.index.manifests) {
      // An archive of one platform may keep the whole index.
      if (!files.has(blobPath(member.digest))) continue;
      const inner = readBlob(files, member.digest, MAX_MANIFEST_BYTES);
      await loadManifest(store, files, { bytes: inner, mediaType: member.mediaType, names: [] }, signal);
    }
    store.images.putIndex({ bytes, names });
    loaded.set(entry.digest, { names, digest: entry.digest, configDigest: undefined });
  }
  return [...loaded.values()];
}

/** Loads the older format of `docker save`: `manifest.json` lists configs and layer tars by path. */
async function loadDockerArchive(store: Store, files: LayoutFiles, signal: AbortSignal): Promise<LoadedImage[]> {
  const json = parseJson(files.read("manifest.json", MAX_CONFIG_BYTES).toString());
  const bad = (): BuildError =>
    new BuildError("archive/malformed", "Cannot load the archive: manifest.json is damaged");
  if (!Array.isArray(json)) throw bad();
  const loaded: LoadedImage[] = [];
  for (const entry of json as unknown[]) {
    if (!isRecord(entry) || typeof entry["Config"] !== "string" || !Array.isArray(entry["Layers"])) throw bad();
    const config = files.read(inside(entry["Config"]), MAX_CONFIG_BYTES);
    const diffIds = parseImageConfig(config, "the archive's image").rootfs.diff_ids;
    const paths = (entry["Layers"] as unknown[]).map((path) => inside(String(path)));
    const blobs: LayerBlob[] = [];
    for (const { layer, diffId } of pairLayers(paths, diffIds)) {
      blobs.push(await keepLayerFile(store, files, { path: layer, diffId }, signal));
    }
    const { digest: configDigest, size } = store.blobs.put(config);
    const manifest = goJsonIndented({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociConfig, digest: configDigest, size },
      layers: blobs.map(({ descriptor }) => descriptor),
    });
    const names = (Array.isArray(entry["RepoTags"]) ? (entry["RepoTags"] as unknown[]) : []).map((name) =>
      fullName(String(name)),
    );
    const image = keepImage(store, { manifest, mediaType: MEDIA_TYPES.ociManifest, config, diffIds, blobs, names });
    loaded.push({ names, digest: image.manifestDigest, configDigest });
  }
  return loaded;
}

async function loadDescriptor(
  store: Store,
  files: LayoutFiles,
  root: Descriptor,
  platform: Platform,
  signal: AbortSignal,
): Promise<StoredImage> {
  const bytes = readBlob(files, root.digest, MAX_MANIFEST_BYTES);
  const document = parseManifestDocument(bytes, root.mediaType, "the OCI layout's manifest");
  if (document.kind === "manifest") {
    return loadManifest(store, files, { bytes, mediaType: root.mediaType, names: [] }, signal);
  }
  const wanted = selectPlatform(
    document.index,
    platform,
    `OCI layout ${files.directory} (${formatPlatform(platform)})`,
  );
  return loadDescriptor(store, files, wanted, platform, signal);
}

async function loadManifest(
  store: Store,
  files: LayoutFiles,
  {
    bytes,
    mediaType,
    names,
  }: { readonly bytes: Buffer; readonly mediaType: string; readonly names: readonly string[] },
  signal: AbortSignal,
): Promise<StoredImage> {
  const document = parseManifestDocument(bytes, mediaType, "the archive's manifest");
  if (document.kind !== "manifest") {
    throw new BuildError("archive/malformed", "Cannot load the archive: an index lists another index");
  }
  const config = readBlob(files, document.manifest.config.digest, MAX_CONFIG_BYTES);
  const diffIds = parseImageConfig(config, "the archive's image").rootfs.diff_ids;
  const blobs: LayerBlob[] = [];
  for (const { layer, diffId } of pairLayers(document.manifest.layers, diffIds)) {
    const path = blobPath(layer.digest);
    blobs.push(await keepDescribedLayer(store, files, { path, descriptor: layer, diffId }, signal));
  }
  return keepImage(store, { manifest: bytes, mediaType: document.manifest.mediaType, config, diffIds, blobs, names });
}

/**
 * Stores documents and rows; the layers' blobs are in the store already. Their files are unpacked when a step needs
 * them.
 */
function keepImage(
  store: Store,
  parts: {
    readonly manifest: Buffer;
    readonly mediaType: string;
    readonly config: Buffer;
    readonly diffIds: readonly Digest[];
    readonly blobs: readonly LayerBlob[];
    readonly names: readonly string[];
  },
): StoredImage {
  const layers = parts.diffIds.map((diffId): NewSnapshot => {
    const known = store.snapshots.byDiffId(diffId).find((row) => row.state === "present");
    return { id: known?.id ?? layerId(diffId), state: known?.state ?? "absent", diffId };
  });
  return store.images.put({
    manifest: parts.manifest,
    config: parts.config,
    mediaType: parts.mediaType,
    layers: layers.map(({ id }) => id),
    newSnapshots: layers,
    layerBlobs: parts.blobs,
    names: parts.names,
  });
}

function openLayout(native: Native, directory: string): LayoutFiles {
  try {
    return new LayoutFiles(native, directory, "anywhere");
  } catch (error) {
    throw noLayout(directory, error);
  }
}

function readIndex(files: LayoutFiles): Index {
  const { directory } = files;
  if (!files.has("index.json")) throw noLayout(directory);
  const bytes = files.read("index.json", MAX_MANIFEST_BYTES);
  // A layout's index may omit its media type.
  const document = parseManifestDocument(bytes, MEDIA_TYPES.ociIndex, `OCI layout ${directory}`);
  if (document.kind !== "index")
    throw new BuildError("archive/malformed", `Cannot read OCI layout ${directory}: no index`);
  return document.index;
}

function noLayout(directory: string, cause?: unknown): BuildError {
  return new BuildError("context/not-found", `Cannot read OCI layout ${directory}: it has no index.json`, { cause });
}

/** Reads a document of a layout, checked against its digest. */
function readBlob(files: LayoutFiles, digest: Digest, maxBytes: number): Buffer {
  const path = blobPath(digest);
  if (!files.has(path)) {
    throw new BuildError("archive/malformed", `Cannot load the archive: blob ${digest} is missing`);
  }
  const bytes = files.read(path, maxBytes);
  if (digestOf(bytes) !== digest) {
    throw new BuildError("digest/mismatch", `Cannot load the archive: blob ${digest} is damaged`);
  }
  return bytes;
}

function blobPath(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

/** Checks a path inside the archive: it must not lead outside. */
function inside(path: string): string {
  if (isAbsolute(path) || path.split("/").includes("..")) {
    throw new BuildError("archive/unsafe-path", `Cannot load the archive: it names ${JSON.stringify(path)}`);
  }
  return path;
}

function refNameOf(descriptor: Descriptor): string | undefined {
  return descriptor.annotations?.["org.opencontainers.image.ref.name"];
}

/** Returns a ref name that is a whole image name: with a slash or a colon; otherwise it is only a tag. */
function nameIn(refName: string | undefined): string | undefined {
  return refName !== undefined && /[/:]/.test(refName) && !isDigest(refName) ? refName : undefined;
}

function fullName(name: string): string {
  return formatReference(parseReference(name));
}
