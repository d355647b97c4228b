import { unreachable } from "../../lib/core/errors.ts";
import type { Compression } from "../../lib/core/oci.ts";

/** Options that every image format understands. */
export interface ImageOptions {
  /** Full or familiar image names, besides the build's own tags. */
  readonly names: readonly string[];
  /** `undefined`: as each layer already is (base layers), else gzip, the default of every registry client. */
  readonly compression: Compression | undefined;
  readonly compressionLevel: number | undefined;
  /** Compresses base layers anew when they are not in the wanted form. */
  readonly forceCompression: boolean;
  readonly mediaTypes: "oci" | "docker";
  /** Clamps the times of files in new layers to the source date. */
  readonly rewriteTimestamp: boolean;
  /** Seconds since the epoch; wins over the build argument SOURCE_DATE_EPOCH. */
  readonly sourceDateEpoch: number | undefined;
  readonly annotations: readonly AnnotationOption[];
}

/** `annotation-index[linux/amd64].key=value`. `platform` as written, `undefined` for all. */
export interface AnnotationOption {
  readonly target: "manifest" | "manifest-descriptor" | "index" | "index-descriptor";
  readonly platform: string | undefined;
  readonly key: string;
  readonly value: string;
}

/** The local store (what `kiln images` lists), a registry, or both. */
export interface ImageOutput {
  readonly kind: "image";
  readonly image: ImageOptions;
  readonly store: boolean;
  readonly push: boolean;
  /** Plain HTTP or unverified TLS is fine. */
  readonly insecure: boolean;
  /** The registry gets manifests under their digests and no tag. */
  readonly pushByDigest: boolean;
  /** Base layers that are only known by their descriptors so far are fetched and unpacked. */
  readonly unpack: boolean;
  readonly digestNames: DigestNames;
}

/** Names in the local store that end in the image's own digest, besides those the build was given. */
export interface DigestNames {
  /** Every name also as `name@digest`. */
  readonly canonical: boolean;
  /** `prefix@digest`. */
  readonly danglingPrefix: string | undefined;
  readonly dangling: "always" | "without-names";
}

/** Where a result goes. One build may have several; they share the layers. */
export type OutputSpec =
  | ImageOutput
  | {
      readonly kind: "oci" | "docker";
      readonly image: ImageOptions;
      /** `-` is standard output. */
      readonly destination: string;
      readonly form: "tar" | "directory";
    }
  | {
      readonly kind: "local";
      readonly destination: string;
      readonly platformSplit: boolean | undefined;
      readonly mode: "copy" | "delete";
      readonly sourceDateEpoch: number | undefined;
    }
  | {
      readonly kind: "tar";
      readonly destination: string;
      readonly platformSplit: boolean | undefined;
      readonly sourceDateEpoch: number | undefined;
    }
  /** Builds and keeps the cache, writes no result. */
  | { readonly kind: "cacheonly" };

/** Whether an output needs the files of the result, and not only its layers. */
export function wantsFiles(output: OutputSpec): boolean {
  switch (output.kind) {
    case "local":
    case "tar":
      return true;
    case "image":
      return output.unpack;
    case "oci":
    case "docker":
    case "cacheonly":
      return false;
    default:
      return unreachable(output);
  }
}

/** Whether an output is one file. */
export function isArchive(output: OutputSpec): boolean {
  switch (output.kind) {
    case "tar":
      return true;
    case "oci":
    case "docker":
      return output.form === "tar";
    case "image":
    case "local":
    case "cacheonly":
      return false;
    default:
      return unreachable(output);
  }
}

/** Whether an output writes an image that leaves this store. */
export function imageLeaves(output: OutputSpec): boolean {
  switch (output.kind) {
    case "image":
      return output.push;
    case "oci":
    case "docker":
      return true;
    case "local":
    case "tar":
    case "cacheonly":
      return false;
    default:
      return unreachable(output);
  }
}

/** Attributes of an image output that says nothing: the local store, OCI media types. */
export const DEFAULT_IMAGE_OPTIONS: ImageOptions = {
  names: [],
  compression: undefined,
  compressionLevel: undefined,
  forceCompression: false,
  mediaTypes: "oci",
  rewriteTimestamp: false,
  sourceDateEpoch: undefined,
  annotations: [],
};

/** Full names an output goes by: those of the build and its own. buildx drops its own where the build has any. */
export function namesOf(image: ImageOptions, result: { readonly names: readonly string[] }): readonly string[] {
  return [...new Set([...result.names, ...image.names])];
}

/** The local store and nothing else: what a build without outputs does. */
export const STORE_OUTPUT: ImageOutput = {
  kind: "image",
  image: DEFAULT_IMAGE_OPTIONS,
  store: true,
  push: false,
  insecure: false,
  pushByDigest: false,
  unpack: false,
  digestNames: { canonical: false, danglingPrefix: undefined, dangling: "always" },
};
