import { buffer } from "node:stream/consumers";
import type { Digest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { type Descriptor, type Manifest, MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { listReferrers } from "../../../lib/registry/listed-referrers.ts";
import type { RegistryClient, Repository } from "../../../lib/registry/registry.ts";
import { BUNDLE_TYPE, isBundleFor } from "./bundle.ts";
import type { VerifyingKey } from "./keys.ts";
import { isPayloadFor, SIGNATURE, signatureTag, SIMPLE_TYPE } from "./signature-tag.ts";

/** Limits of what a registry may make a check read. */
const MAX_SIGNATURES = 100;
const MAX_BYTES = 4 << 20;

/** A signature of the key's, and where it is. */
export interface FoundSignature {
  readonly form: "bundle" | "tag";
  /** Manifest that holds it. */
  readonly manifest: Digest;
}

/** A manifest in a repository whose signatures are looked at. */
export interface SignedImage {
  readonly client: RegistryClient;
  readonly repository: Repository;
  readonly digest: Digest;
}

/** Finds the bundles that refer to an image and are signed by a key. */
export async function findBundles(
  { client, repository, digest }: SignedImage,
  key: VerifyingKey,
  signal: AbortSignal,
): Promise<readonly FoundSignature[]> {
  const found: FoundSignature[] = [];
  const referrers = await listReferrers(client, repository, digest, signal);
  // Some writers of the tag that stands in for the API name the type of the config instead.
  const artifacts = referrers.filter(
    ({ artifactType = MEDIA_TYPES.ociEmpty }) => artifactType === BUNDLE_TYPE || artifactType === MEDIA_TYPES.ociEmpty,
  );
  for (const artifact of artifacts.slice(0, MAX_SIGNATURES)) {
    const { document } = await client.fetchManifest(repository, artifact, signal);
    const layers = document.kind === "manifest" ? document.manifest.layers : [];
    const [layer] = layers.filter(({ mediaType }) => mediaType === BUNDLE_TYPE);
    if (layer === undefined || layer.size > MAX_BYTES) continue;
    const bytes = await buffer(await client.fetchBlob(repository, layer, signal));
    if (isBundleFor(bytes, digest, key)) found.push({ form: "bundle", manifest: artifact.digest });
  }
  return found;
}

/** The manifest of the signatures' tag, and those in it that are a key's. */
interface TaggedSignatures {
  readonly manifest: Manifest | undefined;
  readonly found: readonly FoundSignature[];
}

/** Finds the signatures under the tag that cosign gives an image's signatures. */
export async function findTagged(
  { client, repository, digest }: SignedImage,
  key: VerifyingKey,
  signal: AbortSignal,
): Promise<TaggedSignatures> {
  const tagged = await taggedManifest({ client, repository, digest }, signal);
  if (tagged === undefined) return { manifest: undefined, found: [] };
  const found: FoundSignature[] = [];
  for (const layer of tagged.manifest.layers.slice(0, MAX_SIGNATURES)) {
    const signature = layer.annotations?.[SIGNATURE];
    if (layer.mediaType !== SIMPLE_TYPE || signature === undefined || layer.size > MAX_BYTES) continue;
    const payload = await buffer(await client.fetchBlob(repository, layer, signal));
    if (isPayloadFor(payload, signature, digest, key)) found.push({ form: "tag", manifest: tagged.descriptor.digest });
  }
  return { manifest: tagged.manifest, found };
}

async function taggedManifest(
  { client, repository, digest }: SignedImage,
  signal: AbortSignal,
): Promise<{ readonly descriptor: Descriptor; readonly manifest: Manifest } | undefined> {
  try {
    const reference = { ...repository, tag: signatureTag(digest), digest: undefined };
    const { descriptor, document } = await client.resolve(reference, signal);
    return document.kind === "manifest" ? { descriptor, manifest: document.manifest } : undefined;
  } catch (error) {
    if (error instanceof BuildError && error.code === "registry/not-found") return undefined;
    throw error;
  }
}
