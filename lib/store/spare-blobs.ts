import { entriesOf } from "./disk.ts";
import { blobName } from "./measure.ts";
import type { OpenStore } from "./open-store.ts";
import { prune } from "./prune.ts";

/**
 * Deletes every compressed layer of which the same bytes can be had again, from a registry or from files of the store.
 * Only blobs are measured, and another process that collects already is not waited for.
 */
export async function removeSpareBlobs(store: OpenStore, signal: AbortSignal): Promise<void> {
  const sizes = new Map<string, number>();
  for (const { name, diskBytes } of entriesOf(store.layout.blobs)) sizes.set(blobName(name), diskBytes);
  let totalBytes = 0;
  for (const bytes of sizes.values()) totalBytes += bytes;
  if (totalBytes === 0) return;
  using lease = store.leases.tryAcquire("collection");
  if (lease === undefined) return;
  await prune(store, { kinds: new Set(["blob"]), measured: { sizes, totalBytes } }, signal);
}
