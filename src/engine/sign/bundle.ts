import { type Digest, hexOf } from "../../../lib/core/digest.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import { list, object, TEXT } from "../../../lib/core/shape.ts";
import type { SigningKey, VerifyingKey } from "./keys.ts";

export const BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
/** Predicate of a statement that only says: this image is signed. */
export const SIGNED = "https://sigstore.dev/cosign/sign/v1";
const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/**
 * Signs a statement about an image and makes a bundle of it, without an entry of a transparency log.
 * @see https://docs.sigstore.dev/about/bundle/
 */
export function makeBundle(image: { readonly name: string; readonly digest: Digest }, key: SigningKey): Buffer {
  const statement = {
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: image.name, digest: { sha256: hexOf(image.digest) } }],
    predicateType: SIGNED,
    predicate: {},
  };
  const payload = Buffer.from(JSON.stringify(statement));
  const bundle = {
    mediaType: BUNDLE_TYPE,
    verificationMaterial: { publicKey: { hint: key.check.hint } },
    dsseEnvelope: {
      payload: payload.toString("base64"),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig: key.sign(signedBytes(payload)).toString("base64") }],
    },
  };
  return Buffer.from(JSON.stringify(bundle));
}

const SHAPE = object({
  dsseEnvelope: object({
    payload: TEXT,
    payloadType: TEXT,
    signatures: list(object({ sig: TEXT })),
  }),
});

/** Tells whether a bundle says, signed by the key, that the image is signed. */
export function isBundleFor(bytes: Uint8Array, digest: Digest, key: VerifyingKey): boolean {
  const bundle = parseJson(Buffer.from(bytes).toString("utf8"));
  if (!SHAPE.fits(bundle)) return false;
  const { payload, payloadType, signatures } = bundle.dsseEnvelope;
  const statement = Buffer.from(payload, "base64");
  const isSigned =
    payloadType === PAYLOAD_TYPE &&
    signatures.some(({ sig }) => key.isSignature(signedBytes(statement), Buffer.from(sig, "base64")));
  return isSigned && isAbout(parseJson(statement.toString("utf8")), digest);
}

function isAbout(statement: unknown, digest: Digest): boolean {
  if (!isRecord(statement) || statement["predicateType"] !== SIGNED) return false;
  const subjects: readonly unknown[] = Array.isArray(statement["subject"]) ? statement["subject"] : [];
  return subjects.some((one) => isRecord(one) && isRecord(one["digest"]) && one["digest"]["sha256"] === hexOf(digest));
}

/**
 * Returns the bytes that an envelope's signature is of.
 * @see https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
 */
function signedBytes(payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `), payload]);
}
