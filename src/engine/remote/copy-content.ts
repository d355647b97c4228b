import type { Digest } from "../../../lib/core/digest.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import type { Descriptor, Manifest } from "../../../lib/core/oci.ts";
import type { RegistryClient, RemoteManifest, Repository } from "../../../lib/registry/registry.ts";

/** Limit of concurrent blobs and manifests. */
const LANES = 4;

/** The way of a blob to the destination: nothing was sent for one that existed there, or that the registry mounted. */
export type BlobWay = "sent" | "mounted" | "exists";

/** One copy from repository to repository, shared by all its parts. */
export interface CopyRoute {
  readonly client: RegistryClient;
  readonly from: Repository;
  readonly to: Repository;
  /** Receives each blob that is at the destination. */
  readonly onBlob: (blob: Descriptor, way: BlobWay) => void;
  /** Blobs that are at the destination or being sent: platforms share layers. */
  readonly done: Map<Digest, Promise<void>>;
}

/**
 * Copies everything that a manifest or index names, but not itself.
 * @returns the digests of an index's members
 */
export async function copyBelow(
  { document }: RemoteManifest,
  route: CopyRoute,
  signal: AbortSignal,
): Promise<readonly Digest[]> {
  if (document.kind === "manifest") {
    await copyBlobs(document.manifest, route, signal);
    return [];
  }
  const below = await mapLimit(document.index.manifests, LANES, signal, async (member, inner) => {
    const found = await route.client.fetchManifest(route.from, member, inner);
    const deeper = await copyBelow(found, route, inner);
    await copyManifest(found, route, inner);
    return [member.digest, ...deeper];
  });
  return below.flat();
}

/** Writes a manifest under its own digest. */
export async function copyManifest(
  found: RemoteManifest,
  { client, to }: CopyRoute,
  signal: AbortSignal,
): Promise<void> {
  const { descriptor, bytes } = found;
  const { mediaType, digest } = descriptor;
  await client.pushManifest(to, { reference: digest, mediaType, bytes }, signal);
}

async function copyBlobs(manifest: Manifest, route: CopyRoute, signal: AbortSignal): Promise<void> {
  const blobs = [manifest.config, ...manifest.layers].filter((blob) => !isForeign(blob));
  await mapLimit(blobs, LANES, signal, (blob, inner) => {
    const known = route.done.get(blob.digest) ?? copyBlob(blob, route, inner);
    route.done.set(blob.digest, known);
    return known;
  });
}

/** Tells whether registries do not hold a layer: its licence forbids it, and clients get it from elsewhere. */
function isForeign({ mediaType, urls }: Descriptor): boolean {
  return (urls?.length ?? 0) > 0 && /foreign|nondistributable/.test(mediaType);
}

async function copyBlob(blob: Descriptor, route: CopyRoute, signal: AbortSignal): Promise<void> {
  const { client, from, to, onBlob } = route;
  const { digest, size } = blob;
  if (await client.blobExists(to, digest, signal)) return onBlob(blob, "exists");
  const isNear = from.registry === to.registry && from.repository !== to.repository;
  if (isNear && (await client.mountBlob(to, digest, from.repository, signal))) return onBlob(blob, "mounted");
  const open = (inner: AbortSignal) => client.fetchBlob(from, { digest, size }, inner);
  const openAt = (offsetBytes: number, inner: AbortSignal) =>
    client.openBlob(from, { digest, size }, offsetBytes, inner);
  await client.uploadBlob(to, { descriptor: { digest, size }, open, openAt }, signal);
  onBlob(blob, "sent");
}
