import { Readable } from "node:stream";
import { type Digest, digestOf } from "../../../lib/core/digest.ts";
import { type Descriptor, type Manifest, MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { familiarReference, type ImageRef } from "../../../lib/core/reference.ts";
import { announceReferrers } from "../../../lib/registry/listed-referrers.ts";
import type { RegistryClient, Repository } from "../../../lib/registry/registry.ts";
import { BUNDLE_TYPE, makeBundle, SIGNED } from "./bundle.ts";
import { findBundles, findTagged } from "./find-signatures.ts";
import type { SigningKey } from "./keys.ts";
import { SIGNATURE, signatureTag, simplePayload, SIMPLE_TYPE } from "./signature-tag.ts";

const EMPTY = Buffer.from("{}");

/** The image that was signed, and whether the key had signed it before. */
export interface Signed {
  readonly digest: Digest;
  readonly isNew: boolean;
}

/**
 * Signs the manifest or index that a reference names, in both forms: as a bundle that refers to it, and under cosign's tag. A form
 * that has a signature of this key already stays as it is.
 * @throws {BuildError} what the registry says
 */
export async function signImage(
  client: RegistryClient,
  image: ImageRef,
  key: SigningKey,
  signal: AbortSignal,
): Promise<Signed> {
  const { descriptor } = await client.resolve(image, signal);
  const { digest } = descriptor;
  const subject = { mediaType: descriptor.mediaType, digest, size: descriptor.size };
  const named = { name: familiarReference({ ...image, tag: undefined, digest: undefined }), digest };
  const place = { client, repository: image, digest };
  const bundles = await findBundles(place, key.check, signal);
  if (bundles.length === 0) await pushBundle(place, subject, makeBundle(named, key), signal);
  const tagged = await findTagged(place, key.check, signal);
  if (tagged.found.length === 0) await pushTagged(place, tagged.manifest, { named, key }, signal);
  return { digest, isNew: bundles.length === 0 || tagged.found.length === 0 };
}

interface Place {
  readonly client: RegistryClient;
  readonly repository: Repository;
  readonly digest: Digest;
}

async function pushBundle(
  { client, repository, digest }: Place,
  subject: Descriptor,
  bundle: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const layer = await pushBytes(client, repository, { mediaType: BUNDLE_TYPE, bytes: bundle }, signal);
  const config = await pushBytes(client, repository, { mediaType: MEDIA_TYPES.ociEmpty, bytes: EMPTY }, signal);
  const annotations = {
    "dev.sigstore.bundle.content": "dsse-envelope",
    "dev.sigstore.bundle.predicateType": SIGNED,
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType: BUNDLE_TYPE,
    config: { ...config, data: EMPTY.toString("base64") },
    layers: [layer],
    subject,
    annotations,
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  const { mediaType } = manifest;
  const artifact = { mediaType, digest: digestOf(bytes), size: bytes.length, artifactType: BUNDLE_TYPE, annotations };
  await client.pushManifest(repository, { reference: artifact.digest, mediaType, bytes }, signal);
  await announceReferrers(client, repository, digest, [artifact], signal);
}

/** Adds a signature to the manifest under cosign's tag, which holds those of other keys too. */
async function pushTagged(
  { client, repository, digest }: Place,
  before: Manifest | undefined,
  { named, key }: { readonly named: Parameters<typeof simplePayload>[0]; readonly key: SigningKey },
  signal: AbortSignal,
): Promise<void> {
  const payload = simplePayload(named);
  const layer = await pushBytes(client, repository, { mediaType: SIMPLE_TYPE, bytes: payload }, signal);
  const annotations = { [SIGNATURE]: key.sign(payload).toString("base64") };
  const layers = [...(before?.layers ?? []), { ...layer, annotations }];
  // Clients that read it as an image want as many layers in the configuration.
  const diffIds = layers.map((one) => one.digest);
  const configBytes = Buffer.from(
    JSON.stringify({
      architecture: "",
      created: "0001-01-01T00:00:00Z",
      os: "",
      rootfs: { type: "layers", diff_ids: diffIds },
      config: {},
    }),
  );
  const config = await pushBytes(client, repository, { mediaType: MEDIA_TYPES.ociConfig, bytes: configBytes }, signal);
  const mediaType = MEDIA_TYPES.ociManifest;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  await client.pushManifest(repository, { reference: signatureTag(digest), mediaType, bytes }, signal);
}

async function pushBytes(
  client: RegistryClient,
  repository: Repository,
  { mediaType, bytes }: { readonly mediaType: string; readonly bytes: Buffer },
  signal: AbortSignal,
): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
  await client.pushBlob(repository, { descriptor, open: () => Readable.from([bytes]) }, signal);
  return descriptor;
}
