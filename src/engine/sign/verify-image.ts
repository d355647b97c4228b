import type { Digest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { familiarReference, type ImageRef } from "../../../lib/core/reference.ts";
import type { RegistryClient } from "../../../lib/registry/registry.ts";
import { findBundles, findTagged, type FoundSignature } from "./find-signatures.ts";
import type { VerifyingKey } from "./keys.ts";

/** An image with at least one signature of the key's. */
export interface VerifiedImage {
  readonly digest: Digest;
  readonly signatures: readonly FoundSignature[];
}

/**
 * Checks that an image in a registry is signed by a key. The digest that is returned is the one that was checked: a tag may
 * point elsewhere a moment later.
 * @throws {BuildError} `signature/missing` where no signature of the key names this image
 */
export async function verifyImage(
  client: RegistryClient,
  image: ImageRef,
  key: VerifyingKey,
  signal: AbortSignal,
): Promise<VerifiedImage> {
  const { descriptor } = await client.resolve(image, signal);
  const signed = { client, repository: image, digest: descriptor.digest };
  const bundles = await findBundles(signed, key, signal);
  const { found } = await findTagged(signed, key, signal);
  const signatures = [...bundles, ...found];
  if (signatures.length > 0) return { digest: descriptor.digest, signatures };
  throw new BuildError(
    "signature/missing",
    `Cannot verify ${familiarReference(image)}: no signature by this key names ${descriptor.digest}`,
    { hint: "`kiln sign --key FILE` signs an image; one that was pushed again needs another signature" },
  );
}
