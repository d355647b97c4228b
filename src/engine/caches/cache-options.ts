import type { Compression } from "../../../lib/core/oci.ts";
import type { ObjectPlace } from "../../../solver/cache/objects/object-store.ts";

/** Caches of other machines; docs/cache.md. */
export interface CacheOptions {
  /** Caches in order of preference. */
  readonly from: readonly CacheFrom[];
  readonly to: readonly CacheTo[];
  /** PEM files of ed25519 public keys: only entries signed with one of them count. Empty: all entries count. */
  readonly trust: readonly string[];
}

export type CachePlace =
  | { readonly kind: "registry"; readonly ref: string; readonly insecure: boolean }
  | { readonly kind: "local"; readonly directory: string }
  /** The storage and the action cache of a cluster. */
  | { readonly kind: "reapi"; readonly url: string }
  | ObjectPlace;

export type CacheFrom = CachePlace;

export interface CacheTo {
  /** `inline`: in the manifests of pushed images. */
  readonly place: CachePlace | { readonly kind: "inline" };
  /** `min`: steps with layers in the result; `max`: all steps with a result. */
  readonly mode: "min" | "max";
  /** True to include the contents of cache mounts. */
  readonly mounts: boolean;
  readonly compression: Compression | undefined;
  readonly compressionLevel: number | undefined;
  /** Days after which entries that no export needed are removed from a directory. `undefined`: never. */
  readonly keepDays: number | undefined;
  /** PEM file of an ed25519 private key. */
  readonly sign: string | undefined;
  /** Display name for users of the results. */
  readonly producer: string;
  readonly ignoreError: boolean;
  /** True to write only what this build ran, and to ask for nothing else: the cache of the cluster that runs steps. */
  readonly onlyNew?: boolean | undefined;
}
