import type { Digest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { type Descriptor, type Index, MEDIA_TYPES } from "../../../lib/core/oci.ts";
import type { RegistryClient, Repository } from "../../../lib/registry/registry.ts";
import { copyBelow, copyManifest, type CopyRoute } from "./copy-content.ts";
import { indexDocument } from "./index-document.ts";

/** Depth of artifacts that refer to artifacts: a signature of an SBOM of an image. */
const MAX_DEPTH = 5;

/**
 * Copies the artifacts that refer to an image, and those that refer to them. A registry without the referrers API gets the
 * tag `sha256-<hex>` that stands in for it.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
 */
export async function copyReferrers(subject: Digest, route: CopyRoute, signal: AbortSignal): Promise<void> {
  return copyDown(subject, route, 1, signal);
}

async function copyDown(subject: Digest, route: CopyRoute, depth: number, signal: AbortSignal): Promise<void> {
  const { client, from, to } = route;
  const found = await listReferrers(client, from, subject, signal);
  if (found.length === 0) return;
  for (const descriptor of found) {
    const artifact = await client.fetchManifest(from, descriptor, signal);
    await copyBelow(artifact, route, signal);
    await copyManifest(artifact, route, signal);
    if (depth < MAX_DEPTH) await copyDown(descriptor.digest, route, depth + 1, signal);
  }
  await announceReferrers(client, to, subject, found, signal);
}

/** Lists the artifacts that refer to a manifest: by the API, else by the tag that stands in for it. */
export async function listReferrers(
  client: RegistryClient,
  repository: Repository,
  subject: Digest,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  return (await client.referrers(repository, subject, signal)) ?? taggedReferrers(client, repository, subject, signal);
}

/** Adds artifacts to the tag that lists them, where a registry has no API that does. */
export async function announceReferrers(
  client: RegistryClient,
  repository: Repository,
  subject: Digest,
  artifacts: readonly Descriptor[],
  signal: AbortSignal,
): Promise<void> {
  if ((await client.referrers(repository, subject, signal)) !== undefined) return;
  const before = await taggedReferrers(client, repository, subject, signal);
  const known = new Set(before.map(({ digest }) => digest));
  const added = artifacts.filter(({ digest }) => !known.has(digest));
  if (added.length === 0) return;
  const index: Index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [...before, ...added] };
  const { bytes } = indexDocument(index);
  await client.pushManifest(repository, { reference: tagFor(subject), mediaType: index.mediaType, bytes }, signal);
}

async function taggedReferrers(
  client: RegistryClient,
  repository: Repository,
  subject: Digest,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  try {
    const { document } = await client.resolve({ ...repository, tag: tagFor(subject), digest: undefined }, signal);
    return document.kind === "index" ? document.index.manifests : [];
  } catch (error) {
    if (error instanceof BuildError && error.code === "registry/not-found") return [];
    throw error;
  }
}

function tagFor(subject: Digest): string {
  return subject.replace(":", "-");
}
