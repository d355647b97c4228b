import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { BuildError, messageOf } from "../../../lib/core/errors.ts";
import { decryptCosignKey, isCosignKey } from "./cosign-key.ts";

/** A key that signs: ECDSA on P-256 with SHA-256, the kind that `cosign generate-key-pair` makes. */
export interface SigningKey {
  readonly check: VerifyingKey;
  /** Returns the signature in DER. */
  sign(bytes: Uint8Array): Buffer;
}

export interface VerifyingKey {
  /** Digest of the public key in DER, in base64: the name of the key in a bundle. */
  readonly hint: string;
  isSignature(bytes: Uint8Array, signature: Uint8Array): boolean;
}

/** Asks for the password of a key; called only for one that is encrypted. */
export type AskPassword = () => Promise<string>;

/**
 * Reads a private key: cosign's, encrypted or not, or one of OpenSSL's in PEM.
 * @throws {BuildError} `signature/key`
 */
export async function readSigningKey(pem: string, name: string, password: AskPassword): Promise<SigningKey> {
  const key = await privateKey(pem, name, password);
  checkKind(key, name);
  return {
    check: verifyingKey(createPublicKey(key)),
    sign: (bytes) => sign("sha256", bytes, key),
  };
}

/**
 * Reads a public key.
 * @throws {BuildError} `signature/key`
 */
export function readVerifyingKey(pem: string, name: string): VerifyingKey {
  if (/PRIVATE KEY-----/.test(pem)) {
    throw new BuildError("signature/key", `Cannot check with ${JSON.stringify(name)}: it is a private key`, {
      hint: "give the public one, the file that ends in .pub",
    });
  }
  const key = parsed(name, () => createPublicKey(pem));
  checkKind(key, name);
  return verifyingKey(key);
}

async function privateKey(pem: string, name: string, password: AskPassword): Promise<KeyObject> {
  if (isCosignKey(pem)) {
    const given = await password();
    const der = await decryptCosignKey(pem, given, name);
    return parsed(name, () => createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  }
  if (!/-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/.test(pem)) throw unreadable(name, "it is no private key in PEM");
  const isEncrypted = /ENCRYPTED/.test(pem);
  const passphrase = isEncrypted ? await password() : undefined;
  return parsed(name, () => createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) }));
}

function parsed(name: string, read: () => KeyObject): KeyObject {
  try {
    return read();
  } catch (error) {
    throw unreadable(name, messageOf(error), error);
  }
}

function checkKind(key: KeyObject, name: string): void {
  if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1") return;
  throw unreadable(name, "it is not of the kind ECDSA P-256");
}

function verifyingKey(key: KeyObject): VerifyingKey {
  const der = key.export({ format: "der", type: "spki" });
  return {
    hint: createHash("sha256").update(der).digest("base64"),
    isSignature: (bytes, signature) => verify("sha256", bytes, key, signature),
  };
}

/** Makes the error for a key that cannot be used. */
function unreadable(name: string, why: string, cause?: unknown): BuildError {
  return new BuildError("signature/key", `Cannot use the key ${JSON.stringify(name)}: ${why}`, {
    hint: "`cosign generate-key-pair` makes a pair, and so does `openssl ecparam -name prime256v1 -genkey`",
    cause,
  });
}
