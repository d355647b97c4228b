import type { Readable } from "node:stream";
import type { Digest } from "../../../lib/core/digest.ts";
import type { EntryName } from "../remote/backend.ts";

/** A cache's place, as the flags name it. Attributes may hold secrets. */
export interface ObjectPlace {
  readonly kind: "s3" | "gha";
  readonly attributes: Readonly<Record<string, string>>;
}

/** The name of an object. `cache` marks a store as a cache of kiln's. */
export type ObjectName =
  | { readonly kind: "blob"; readonly digest: Digest }
  | { readonly kind: "entry"; readonly name: EntryName }
  | { readonly kind: "cache" };

export interface NewObject {
  readonly sizeBytes: number;
  readonly digest: Digest;
  /** Opens the content, once for each attempt. */
  open(signal: AbortSignal): Readable | Promise<Readable>;
}

/** A flat store of objects. All its failures are BuildErrors without secrets. */
export interface ObjectStore {
  /** Opens an object from an offset; `undefined` when there is none. */
  get(name: ObjectName, offsetBytes: number, signal: AbortSignal): Promise<Readable | undefined>;
  /** Tells whether there is an object. One of some age is `renewed`, where age decides what goes. */
  has(name: ObjectName, signal: AbortSignal): Promise<"no" | "yes" | "renewed">;
  /** Writes an object completely or not at all, in place of an existing one. */
  put(name: ObjectName, object: NewObject, signal: AbortSignal): Promise<void>;
  /** Tells whether BuildKit has a cache at this place. */
  hasBuildKitCache(signal: AbortSignal): Promise<boolean>;
}
