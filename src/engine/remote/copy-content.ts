import type { Digest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import type { Descriptor, Manifest } from "../../../lib/core/oci.ts";
import type { RegistryClient, RemoteManifest, Repository } from "../../../lib/registry/registry.ts";

/** Limit of concurrent blobs and manifests. */
const LANES = 4;

/** Limit on indexes within indexes. Real ones have one or two levels. */
const MAX_DEPTH = 8;

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
  /** Mounts of blobs: `work` is false once the registry has refused one. */
  readonly mounts: { work: boolean };
  /** Members of indexes that are at the destination or on their way, with the members below each. */
  readonly members: Map<Digest, Promise<readonly Digest[]>>;
}

/**
 * Copies everything that a manifest or index names, but not itself.
 * @returns the digests of an index's members
 */
export async function copyBelow(
  { document }: RemoteManifest,
  route: CopyRoute,
  signal: AbortSignal,
  depth = 0,
): Promise<readonly Digest[]> {
  if (document.kind === "manifest") {
    await copyBlobs(document.manifest, route, signal);
    return [];
  }
  if (depth > MAX_DEPTH) {
    throw new BuildError("registry/malformed", "Cannot copy the image: its indexes are nested too deeply");
  }
  const below = await mapLimit(document.index.manifests, LANES, signal, async ({ digest }, inner) => {
    // An index may name a member many times, and its members theirs: each is copied once.
    const known = route.members.get(digest) ?? copyMember(digest, route, inner, depth);
    route.members.set(digest, known);
    return known;
  });
  return [...new Set(below.flat())];
}

async function copyMember(
  digest: Digest,
  route: CopyRoute,
  signal: AbortSignal,
  depth: number,
): Promise<readonly Digest[]> {
  const found = await route.client.fetchManifest(route.from, { digest }, signal);
  const deeper = await copyBelow(found, route, signal, depth + 1);
  await copyManifest(found, route, signal);
  return [digest, ...deeper];
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
  const isNear = from.registry === to.registry && from.repository !== to.repository;
  const mount = async (): Promise<boolean> => isNear && (await client.mountBlob(to, digest, from.repository, signal));
  // A mount needs no look before it; but where one was refused, the next would be one upload more that nobody ends.
  const isFirst = isNear && route.mounts.work;
  if (isFirst && (await mount())) return onBlob(blob, "mounted");
  route.mounts.work = false;
  if (await client.blobExists(to, digest, signal)) return onBlob(blob, "exists");
  if (!isFirst && (await mount())) {
    route.mounts.work = true;
    return onBlob(blob, "mounted");
  }
  const open = (inner: AbortSignal) => client.fetchBlob(from, { digest, size }, inner);
  const openAt = (offsetBytes: number, inner: AbortSignal) =>
    client.openBlob(from, { digest, size }, offsetBytes, inner);
  await client.uploadBlob(to, { descriptor: { digest, size }, open, openAt }, signal);
  onBlob(blob, "sent");
}
