import type { Readable } from "node:stream";
import { parseRepository, type RegistryClient } from "../../../lib/registry/registry.ts";
import type { CacheBlob } from "../../cache/remote/backend.ts";
import { openDirectoryBlob } from "../../cache/remote/directory-cache.ts";

/**
 * Opens a layer's blob at its recorded place: a registry's repository, or the directory of a cache, as an absolute
 * path. With `check`, the stream ends with an error when its bytes are not the blob's.
 */
export async function openBlobAt(
  repository: string,
  blob: CacheBlob,
  from: { readonly offsetBytes: number; readonly check: "digest" | "none" },
  deps: { readonly registry: () => Promise<RegistryClient> },
  signal: AbortSignal,
): Promise<Readable> {
  if (repository.startsWith("/")) return openDirectoryBlob(repository, blob, from, signal);
  const client = await deps.registry();
  const at = parseRepository(repository);
  return from.check === "digest"
    ? client.fetchBlob(at, blob, signal)
    : client.openBlob(at, blob, from.offsetBytes, signal);
}
