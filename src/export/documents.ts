import { digestOf } from "../../lib/core/digest.ts";
import { escapeAsGo } from "../../lib/core/image-config.ts";
import { type Compression, type Descriptor, type DescriptorPlatform, MEDIA_TYPES } from "../../lib/core/oci.ts";
import { type Platform, normalizePlatform } from "../../lib/core/platform.ts";

export type MediaTypeFamily = "oci" | "docker";

/** A document and its descriptor. */
export interface Document {
  readonly bytes: Buffer;
  readonly descriptor: Descriptor;
}

/** Writes a value like Go's `json.MarshalIndent(value, "", "  ")`; its keys are in the order of the Go struct. */
export function goJsonIndented(value: unknown): Buffer {
  return Buffer.from(escapeAsGo(JSON.stringify(value, undefined, 2)));
}

/** Makes the manifest of one image, as BuildKit writes it: two spaces, members in the order of the specification. */
export function manifestDocument(parts: {
  readonly family: MediaTypeFamily;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}): Document {
  const mediaType = parts.family === "oci" ? MEDIA_TYPES.ociManifest : MEDIA_TYPES.dockerManifest;
  return document(mediaType, {
    schemaVersion: 2,
    mediaType,
    config: orderedDescriptor(parts.config),
    layers: parts.layers.map(orderedDescriptor),
    ...annotationsOf(parts.annotations),
  });
}

export function indexDocument(parts: {
  readonly family: MediaTypeFamily;
  readonly manifests: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}): Document {
  const mediaType = parts.family === "oci" ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.dockerIndex;
  return document(mediaType, {
    schemaVersion: 2,
    mediaType,
    manifests: parts.manifests.map(orderedDescriptor),
    ...annotationsOf(parts.annotations),
  });
}

/** Makes a manifest that describes another one. */
export function attestationManifest(parts: {
  readonly artifactType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}): Document {
  return document(MEDIA_TYPES.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType: parts.artifactType,
    config: orderedDescriptor(parts.config),
    layers: parts.layers.map(orderedDescriptor),
    subject: orderedDescriptor(parts.subject),
    ...annotationsOf(parts.annotations ?? {}),
  });
}

export function configDescriptor(family: MediaTypeFamily, bytes: Uint8Array): Descriptor {
  const mediaType = family === "oci" ? MEDIA_TYPES.ociConfig : MEDIA_TYPES.dockerConfig;
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

const LAYER_TYPES = {
  oci: { uncompressed: MEDIA_TYPES.ociLayer, gzip: MEDIA_TYPES.ociLayerGzip, zstd: MEDIA_TYPES.ociLayerZstd },
  docker: {
    uncompressed: MEDIA_TYPES.dockerLayer,
    gzip: MEDIA_TYPES.dockerLayerGzip,
    zstd: MEDIA_TYPES.dockerLayerZstd,
  },
} as const;

export function layerMediaType(family: MediaTypeFamily, compression: Compression): string {
  return LAYER_TYPES[family][compression];
}

/** Returns the compression of a layer with this media type; `undefined` for unknown types. */
export function compressionOfMediaType(mediaType: string): Compression | undefined {
  for (const family of Object.values(LAYER_TYPES)) {
    for (const compression of ["uncompressed", "gzip", "zstd"] as const) {
      if (family[compression] === mediaType) return compression;
    }
  }
  return undefined;
}

/** Converts a platform to the form in an index. */
export function descriptorPlatform(platform: Platform): DescriptorPlatform {
  const { architecture, os, variant, osVersion, osFeatures } = normalizePlatform(platform);
  return {
    architecture,
    os,
    ...(osVersion === undefined ? {} : { "os.version": osVersion }),
    ...(osFeatures === undefined ? {} : { "os.features": osFeatures }),
    ...(variant === undefined ? {} : { variant }),
  };
}

/**
 * Makes a layer's descriptor for a manifest: without a builder's own annotations, and with none at all for Docker's
 * types.
 */
export function manifestLayer(family: MediaTypeFamily, blob: Descriptor): Descriptor {
  const compression = compressionOfMediaType(blob.mediaType);
  const mediaType = compression === undefined ? blob.mediaType : layerMediaType(family, compression);
  const kept = Object.entries(blob.annotations ?? {}).filter(
    ([key]) =>
      key !== "containerd.io/uncompressed" &&
      key !== "buildkit/createdat" &&
      !key.startsWith("containerd.io/distribution.source."),
  );
  return {
    mediaType,
    digest: blob.digest,
    size: blob.size,
    ...(blob.urls === undefined ? {} : { urls: blob.urls }),
    ...(family === "docker" || kept.length === 0 ? {} : { annotations: Object.fromEntries(kept) }),
  };
}

function document(mediaType: string, value: unknown): Document {
  return existingDocument(mediaType, goJsonIndented(value));
}

/** Makes a document of another writer's bytes. */
export function existingDocument(mediaType: string, given: Uint8Array): Document {
  const bytes = Buffer.from(given);
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength } };
}

// In the order of the Go struct ocispec.Descriptor.
function orderedDescriptor(descriptor: Descriptor): Record<string, unknown> {
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
    ...(descriptor.urls === undefined ? {} : { urls: descriptor.urls }),
    ...annotationsOf(descriptor.annotations ?? {}),
    ...(descriptor.data === undefined ? {} : { data: descriptor.data }),
    ...(descriptor.platform === undefined ? {} : { platform: descriptor.platform }),
    ...(descriptor.artifactType === undefined ? {} : { artifactType: descriptor.artifactType }),
  };
}

function annotationsOf(annotations: Readonly<Record<string, string>>): { annotations?: Record<string, string> } {
  const names = Object.keys(annotations).toSorted();
  return names.length === 0
    ? {}
    : { annotations: Object.fromEntries(names.map((name) => [name, annotations[name] ?? ""])) };
}
