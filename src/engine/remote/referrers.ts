import type { Digest } from "../../../lib/core/digest.ts";
import { announceReferrers, listReferrers } from "../../../lib/registry/listed-referrers.ts";
import { copyBelow, copyManifest, type CopyRoute } from "./copy-content.ts";

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
