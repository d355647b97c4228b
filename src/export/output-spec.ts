import { unreachable } from "../../lib/core/errors.ts";
import type { Compression } from "../../lib/core/oci.ts";

/** Options that every image format understands. */
export interface ImageOptions {
  /** Full or familiar image names, besides the build's own tags. */
  readonly names: readonly string[];
  /** `undefined`: the present form of base layers, and gzip for others, the default of every registry client. */
  readonly compression: Compression | undefined;
  readonly compressionLevel: number | undefined;
  /** True to recompress base layers of another form. */
  readonly forceCompression: boolean;
  readonly mediaTypes: "oci" | "docker";
  /** True to clamp the times of files in new layers to the source date. */
  readonly rewriteTimestamp: boolean;
  /** Seconds since the epoch; overrides the build argument SOURCE_DATE_EPOCH. */
  readonly sourceDateEpoch: number | undefined;
  readonly annotations: readonly AnnotationOption[];
  /** Largest size of a layer, as a tar: larger ones become several. `undefined` for layers as they are. */
  readonly layerBytes: number | undefined;
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
  /** True to accept plain HTTP or unverified TLS. */
  readonly insecure: boolean;
  /** True to push manifests by digest, without a tag. */
  readonly pushByDigest: boolean;
  /** True to fetch and unpack base layers that are still absent. */
  readonly unpack: boolean;
  readonly digestNames: DigestNames;
}

/** Names in the local store with the image's own digest, besides the build's names. */
export interface DigestNames {
  /** True to add `name@digest` for every name. */
  readonly canonical: boolean;
  /** `prefix@digest`. */
  readonly danglingPrefix: string | undefined;
  readonly dangling: "always" | "without-names";
}

export interface EngineOutput {
  readonly kind: "engine";
  readonly engine: EngineName;
  readonly image: ImageOptions;
  /** Name of docker's context; `undefined` for the one that docker itself would use. */
  readonly context: string | undefined;
}

export type EngineName = "docker" | "podman" | "containerd";

/** The destination of a result. One build may have several; they share the layers. */
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
  /** An engine of this machine that keeps images of its own. */
  | EngineOutput
  /** Builds and keeps the cache, writes no result. */
  | { readonly kind: "cacheonly" };

/** Tells whether an output needs the files of the result, not only its layers. */
export function wantsFiles(output: OutputSpec): boolean {
  switch (output.kind) {
    case "local":
    case "tar":
      return true;
    case "image":
      return output.unpack;
    case "oci":
    case "docker":
    case "engine":
    case "cacheonly":
      return false;
    default:
      return unreachable(output);
  }
}

/** Tells whether an output is one file. */
export function isArchive(output: OutputSpec): boolean {
  switch (output.kind) {
    case "tar":
      return true;
    case "oci":
    case "docker":
      return output.form === "tar";
    case "image":
    case "local":
    case "engine":
    case "cacheonly":
      return false;
    default:
      return unreachable(output);
  }
}

/** Tells whether an output writes an image outside this store. */
export function imageLeaves(output: OutputSpec): boolean {
  switch (output.kind) {
    case "image":
      return output.push;
    case "oci":
    case "docker":
    case "engine":
      return true;
    case "local":
    case "tar":
    case "cacheonly":
      return false;
    default:
      return unreachable(output);
  }
}

/** Makes the same output, with the times of files in new layers clamped to the source date. */
export function withRewrittenTimes(output: OutputSpec): OutputSpec {
  return "image" in output ? { ...output, image: { ...output.image, rewriteTimestamp: true } } : output;
}

/** Default attributes of an image output: the local store, OCI media types. */
export const DEFAULT_IMAGE_OPTIONS: ImageOptions = {
  names: [],
  compression: undefined,
  compressionLevel: undefined,
  forceCompression: false,
  mediaTypes: "oci",
  rewriteTimestamp: false,
  sourceDateEpoch: undefined,
  annotations: [],
  layerBytes: undefined,
};

/** Lists the full names of an output: those of the build and its own. buildx drops its own where the build has any. */
export function namesOf(image: ImageOptions, result: { readonly names: readonly string[] }): readonly string[] {
  return [...new Set([...result.names, ...image.names])];
}

/** The output of a build without --output: only the local store. */
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
