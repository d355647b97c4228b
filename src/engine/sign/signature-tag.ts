import type { Digest } from "../../../lib/core/digest.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import type { VerifyingKey } from "./keys.ts";

export const SIMPLE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json";
/** Annotation of a layer with the signature of its bytes, in base64. */
export const SIGNATURE = "dev.cosignproject.cosign/signature";

/** Returns the tag under which cosign keeps an image's signatures. */
export function signatureTag(digest: Digest): string {
  return `${digest.replace(":", "-")}.sig`;
}

/**
 * Makes the text that is signed: the image's name and digest.
 * @see https://github.com/containers/image/blob/main/docs/containers-signature.5.md
 */
export function simplePayload({ name, digest }: { readonly name: string; readonly digest: Digest }): Buffer {
  const critical = {
    identity: { "docker-reference": name },
    image: { "docker-manifest-digest": digest },
    type: "cosign container image signature",
  };
  return Buffer.from(JSON.stringify({ critical, optional: null }));
}

/** Tells whether a payload, signed by the key, names the image. */
export function isPayloadFor(payload: Buffer, signature: string, digest: Digest, key: VerifyingKey): boolean {
  if (!key.isSignature(payload, Buffer.from(signature, "base64"))) return false;
  const value = parseJson(payload.toString("utf8"));
  const critical = isRecord(value) ? value["critical"] : undefined;
  const image = isRecord(critical) ? critical["image"] : undefined;
  return isRecord(image) && image["docker-manifest-digest"] === digest;
}
