import { createReadStream, existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import { type Digest, digestOf, hexOf, isDigest, parseDigest } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { parseImageConfig } from "../core/image-config.ts";
import { isRecord, parseJson } from "../core/json.ts";
import { MAX_MANIFEST_BYTES, parseManifestDocument } from "../core/manifest.ts";
import { type Descriptor, type Index, MEDIA_TYPES } from "../core/oci.ts";
import { type Platform, formatPlatform } from "../core/platform.ts";
import { formatReference, parseReference } from "../core/reference.ts";
import { goJsonIndented, layerMediaType } from "../export/documents.ts";
import { selectPlatform } from "../registry/select-platform.ts";
import type { LayerBlob, SnapshotId, StoredImage } from "../store/model.ts";
import type { NewSnapshot, Store } from "../store/store.ts";
import { layerCompression, sniffCompression } from "../tar/compression.ts";
import type { ResolvedBase } from "../../frontend/convert/resolver.ts";
import type { Engine } from "./engine.ts";

const MAX_CONFIG_BYTES = 8 << 20;

/** An image that came from a layout or archive. */
export interface LoadedImage {
  /** Full references; empty when the archive gives it none. */
  readonly names: readonly string[];
  /** Of the manifest or index. */
  readonly digest: Digest;
  /** Of the configuration; `undefined` for an index. */
  readonly configDigest: Digest | undefined;
}

/** `--build-context x=oci-layout://dir[:tag][@digest]`: that image, for one platform, in the store. */
export async function loadLayoutImage(
  engine: Engine,
  text: string,
  platform: Platform,
  signal: AbortSignal,
): Promise<ResolvedBase> {
  const [, path = "", tag, digestText] = /^(.*?)(?::([\w][\w.-]*))?(?:@(sha256:[0-9a-f]+))?$/.exec(text) ?? [];
  const directory = resolve(engine.environment.workingDirectory, path);
  const digest = digestText === undefined ? undefined : parseDigest(digestText, "an OCI layout's digest");
  const index = await readIndex(directory);
  const entry = index.manifests.find((one) =>
    digest === undefined ? tag === undefined || refNameOf(one) === tag : one.digest === digest,
  );
  if (entry === undefined && digest === undefined) {
    throw new BuildError(
      "image/not-found",
      `Cannot find ${JSON.stringify(tag ?? "latest")} in OCI layout ${directory}`,
      {
        hint: `it has ${index.manifests.map((one) => refNameOf(one) ?? one.digest).join(", ")}`,
      },
    );
  }
  const root = entry ?? { mediaType: MEDIA_TYPES.ociManifest, digest: digest as Digest, size: 0 };
  const image = await loadDescriptor(engine.store, directory, root, platform, signal);
  return {
    ref: `oci-layout/${hexOf(image.manifestDigest).slice(0, 12)}:latest`,
    manifest: image.manifestDigest,
    config: image.config,
  };
}

/**
 * Every image of a directory with an OCI layout, or with what `docker save` writes, into the store.
 * @throws {BuildError} `archive/unsupported` when it is neither.
 */
export async function loadDirectory(store: Store, directory: string, signal: AbortSignal): Promise<LoadedImage[]> {
  if (existsSync(join(directory, "index.json"))) return loadOciLayout(store, directory, signal);
  if (existsSync(join(directory, "manifest.json"))) return loadDockerArchive(store, directory, signal);
  throw new BuildError("archive/unsupported", "Cannot load the archive: it has neither index.json nor manifest.json", {
    hint: "`kiln load` reads OCI layouts and what `docker save` writes; a root file system is read by `kiln import`",
  });
}

async function loadOciLayout(store: Store, directory: string, signal: AbortSignal): Promise<LoadedImage[]> {
  const loaded = new Map<Digest, LoadedImage>();
  for (const entry of (await readIndex(directory)).manifests) {
    const name = entry.annotations?.["io.containerd.image.name"] ?? nameIn(refNameOf(entry));
    const names = [...(loaded.get(entry.digest)?.names ?? []), ...(name === undefined ? [] : [fullName(name)])];
    const bytes = await readBlob(directory, entry.digest, MAX_MANIFEST_BYTES);
    const document = parseManifestDocument(bytes, entry.mediaType, "the archive's manifest");
    if (document.kind === "manifest") {
      const image = await loadManifest(store, directory, bytes, entry.mediaType, names, signal);
      loaded.set(entry.digest, { names, digest: entry.digest, configDigest: image.configDigest });
      continue;
    }
    for (const member of document.index.manifests) {
      // An archive of one platform may keep the whole index.
      if (!existsSync(blobPath(directory, member.digest))) continue;
      const inner = await readBlob(directory, member.digest, MAX_MANIFEST_BYTES);
      await loadManifest(store, directory, inner, member.mediaType, [], signal);
    }
    store.images.putIndex({ bytes, names });
    loaded.set(entry.digest, { names, digest: entry.digest, configDigest: undefined });
  }
  return [...loaded.values()];
}

/** What `docker save` wrote before it wrote OCI layouts: `manifest.json` lists configs and layer tars by path. */
async function loadDockerArchive(store: Store, directory: string, signal: AbortSignal): Promise<LoadedImage[]> {
  const json = parseJson(await readFile(join(directory, "manifest.json"), "utf8"));
  const bad = (): BuildError =>
    new BuildError("archive/malformed", "Cannot load the archive: manifest.json is damaged");
  if (!Array.isArray(json)) throw bad();
  const loaded: LoadedImage[] = [];
  for (const entry of json as unknown[]) {
    if (!isRecord(entry) || typeof entry["Config"] !== "string" || !Array.isArray(entry["Layers"])) throw bad();
    const config = await readFile(inside(directory, entry["Config"]));
    const diffIds = parseImageConfig(config, "the archive's image").rootfs.diff_ids;
    const paths = (entry["Layers"] as unknown[]).map((path) => inside(directory, String(path)));
    if (paths.length !== diffIds.length) throw bad();
    const blobs: LayerBlob[] = [];
    for (const [index, path] of paths.entries()) {
      const diffId = diffIds[index];
      if (diffId !== undefined) blobs.push(await keepLayer(store, path, diffId, signal));
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
  directory: string,
  root: Descriptor,
  platform: Platform,
  signal: AbortSignal,
): Promise<StoredImage> {
  const bytes = await readBlob(directory, root.digest, MAX_MANIFEST_BYTES);
  const document = parseManifestDocument(bytes, root.mediaType, "the OCI layout's manifest");
  if (document.kind === "manifest") return loadManifest(store, directory, bytes, root.mediaType, [], signal);
  const wanted = selectPlatform(document.index, platform, `OCI layout ${directory} (${formatPlatform(platform)})`);
  return loadDescriptor(store, directory, wanted, platform, signal);
}

async function loadManifest(
  store: Store,
  directory: string,
  bytes: Buffer,
  mediaType: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<StoredImage> {
  const document = parseManifestDocument(bytes, mediaType, "the archive's manifest");
  if (document.kind !== "manifest") {
    throw new BuildError("archive/malformed", "Cannot load the archive: an index lists another index");
  }
  const config = await readBlob(directory, document.manifest.config.digest, MAX_CONFIG_BYTES);
  const diffIds = parseImageConfig(config, "the archive's image").rootfs.diff_ids;
  const blobs: LayerBlob[] = [];
  for (const [index, descriptor] of document.manifest.layers.entries()) {
    const diffId = diffIds[index];
    if (diffId === undefined) continue;
    await store.blobs.write(createReadStream(blobPath(directory, descriptor.digest)), descriptor, signal);
    blobs.push({ diffId, descriptor, repository: undefined });
  }
  return keepImage(store, { manifest: bytes, mediaType: document.manifest.mediaType, config, diffIds, blobs, names });
}

/** Documents and rows; the layers' blobs are in the store already. Their files are unpacked when a step needs them. */
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
    return { id: known?.id ?? (`layer-${hexOf(diffId)}` as SnapshotId), state: known?.state ?? "absent", diffId };
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

/** A layer file of unknown compression, as a blob. */
async function keepLayer(store: Store, path: string, diffId: Digest, signal: AbortSignal): Promise<LayerBlob> {
  const { kind, stream } = await sniffCompression(createReadStream(path), signal);
  await stream.return();
  const written = await store.blobs.write(createReadStream(path), undefined, signal);
  const compression = layerCompression(kind);
  if (compression === "uncompressed" && written.digest !== diffId) {
    throw new BuildError("digest/mismatch", `Cannot load a layer: its digest is ${written.digest}, not ${diffId}`);
  }
  return { diffId, descriptor: { mediaType: layerMediaType("oci", compression), ...written }, repository: undefined };
}

async function readIndex(directory: string): Promise<Index> {
  let bytes: Buffer;
  try {
    bytes = await readFile(join(directory, "index.json"));
  } catch (error) {
    throw new BuildError("context/not-found", `Cannot read OCI layout ${directory}: it has no index.json`, {
      cause: error,
    });
  }
  // A layout's index may leave out its media type.
  const document = parseManifestDocument(bytes, MEDIA_TYPES.ociIndex, `OCI layout ${directory}`);
  if (document.kind !== "index")
    throw new BuildError("archive/malformed", `Cannot read OCI layout ${directory}: no index`);
  return document.index;
}

/** A document of a layout, checked against its digest. */
async function readBlob(directory: string, digest: Digest, maxBytes: number): Promise<Buffer> {
  const bytes = await readFile(blobPath(directory, digest)).catch((error: unknown) => {
    throw new BuildError("archive/malformed", `Cannot load the archive: blob ${digest} is missing`, { cause: error });
  });

  if (bytes.byteLength > maxBytes || digestOf(bytes) !== digest) {
    throw new BuildError("digest/mismatch", `Cannot load the archive: blob ${digest} is damaged`);
  }
  return bytes;
}

function blobPath(directory: string, digest: Digest): string {
  return join(directory, "blobs", "sha256", hexOf(digest));
}

/** A path inside the archive; whoever wrote it may not lead us anywhere else. */
function inside(directory: string, path: string): string {
  if (isAbsolute(path) || path.split("/").includes("..")) {
    throw new BuildError("archive/unsafe-path", `Cannot load the archive: it names ${JSON.stringify(path)}`);
  }
  return join(directory, path);
}

function refNameOf(descriptor: Descriptor): string | undefined {
  return descriptor.annotations?.["org.opencontainers.image.ref.name"];
}

/** A ref name is a whole image name when it has a slash or a colon, else only a tag. */
function nameIn(refName: string | undefined): string | undefined {
  return refName !== undefined && /[/:]/.test(refName) && !isDigest(refName) ? refName : undefined;
}

function fullName(name: string): string {
  return formatReference(parseReference(name));
}
