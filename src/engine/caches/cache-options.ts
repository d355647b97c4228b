import type { Compression } from "../../../lib/core/oci.ts";

/** Caches of other machines; docs/cache.md. */
export interface CacheOptions {
  /** In order of preference. */
  readonly from: readonly CacheFrom[];
  readonly to: readonly CacheTo[];
  /** PEM files of ed25519 public keys: only what one of them has signed counts. Empty: everything does. */
  readonly trust: readonly string[];
}

export type CachePlace =
  | { readonly kind: "registry"; readonly ref: string; readonly insecure: boolean }
  | { readonly kind: "local"; readonly directory: string };

export type CacheFrom = CachePlace;

export interface CacheTo {
  /** `inline`: in the manifests of the images that are pushed. */
  readonly place: CachePlace | { readonly kind: "inline" };
  /** `min`: steps whose layers are in the result; `max`: all that have a result. */
  readonly mode: "min" | "max";
  /** Whether the contents of cache mounts go along. */
  readonly mounts: boolean;
  readonly compression: Compression | undefined;
  readonly compressionLevel: number | undefined;
  /** What no export has needed for so many days is removed from a directory. `undefined`: nothing is. */
  readonly keepDays: number | undefined;
  /** PEM file of an ed25519 private key. */
  readonly sign: string | undefined;
  /** Shown where the results are used. */
  readonly producer: string;
  readonly ignoreError: boolean;
}
