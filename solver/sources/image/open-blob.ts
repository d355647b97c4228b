import type { Readable } from "node:stream";
import { parseRepository, type RegistryClient } from "../../../lib/registry/registry.ts";
import type { CacheBlob } from "../../cache/remote/backend.ts";
import type { ObjectCaches } from "../../cache/objects/object-caches.ts";
import { openDirectoryBlob } from "../../cache/remote/directory-cache.ts";

/** Access to the places of blobs. Each is opened when a blob is there. */
export interface BlobPlaces {
  readonly registry: () => Promise<RegistryClient>;
  /** Caches in stores of objects. */
  readonly objects: () => Promise<Pick<ObjectCaches, "at">>;
  /** Storages of clusters that run steps. */
  readonly clusters: () => Promise<ClusterBlobs>;
}

/** The blobs of clusters, by the clusters' URLs. */
export interface ClusterBlobs {
  openBlob(
    repository: string,
    blob: CacheBlob,
    from: { readonly offsetBytes: number; readonly check: "digest" | "none" },
    signal: AbortSignal,
  ): Promise<Readable>;
}

/** Tells whether a blob's place is a registry's repository. */
export function isInRegistry(repository: string): boolean {
  return !repository.startsWith("/") && !repository.includes("://");
}

/**
 * Opens a layer's blob at its recorded place: a registry's repository, or a cache's: the absolute path of a directory, or
 * the text of a place in a store of objects, the URL of a cluster. With `check`, the stream ends with an error when its bytes are not the blob's.
 */
export async function openBlobAt(
  repository: string,
  blob: CacheBlob,
  from: { readonly offsetBytes: number; readonly check: "digest" | "none" },
  deps: BlobPlaces,
  signal: AbortSignal,
): Promise<Readable> {
  if (repository.startsWith("/")) return openDirectoryBlob(repository, blob, from, signal);
  if (/^grpcs?:/.test(repository)) return (await deps.clusters()).openBlob(repository, blob, from, signal);
  if (!isInRegistry(repository)) return (await deps.objects()).at(repository).openBlobFrom(blob, from, signal);
  const client = await deps.registry();
  const at = parseRepository(repository);
  return from.check === "digest"
    ? client.fetchBlob(at, blob, signal)
    : client.openBlob(at, blob, from.offsetBytes, signal);
}
