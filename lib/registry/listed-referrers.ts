import type { Digest } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { type Descriptor, type Index, MEDIA_TYPES } from "../core/oci.ts";
import type { RegistryClient, Repository } from "./registry.ts";

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
  const bytes = Buffer.from(JSON.stringify(index, undefined, 2));
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
