import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { BuildError } from "../../../lib/core/errors.ts";
import type { CacheEntry, EntryName } from "./backend.ts";

/**
 * Reads an ed25519 key.
 * @param kind `private` to sign (PKCS#8), `public` to check (SPKI); a private key serves for that as well
 * @throws {BuildError} `cli/usage`; `where` names the file
 */
export function parseKey(pem: Uint8Array, kind: "private" | "public", where: string): KeyObject {
  let key: KeyObject;
  try {
    const text = Buffer.from(pem);
    key = kind === "private" ? createPrivateKey(text) : createPublicKey(text);
  } catch (cause) {
    throw unusable(kind, where, cause);
  }
  if (key.asymmetricKeyType !== "ed25519") throw unusable(kind, where, undefined);
  return key;
}

/** Signs an entry together with its name, so that it is invalid under another one. */
export function signEntry(name: EntryName, text: string, key: KeyObject): CacheEntry {
  return { text, signature: sign(null, signedBytes(name, text), key).toString("base64") };
}

export function isSignedBy(name: EntryName, entry: CacheEntry, keys: readonly KeyObject[]): boolean {
  if (entry.signature === undefined) return false;
  const signature = Buffer.from(entry.signature, "base64");
  return keys.some((key) => verify(null, signedBytes(name, entry.text), key, signature));
}

function signedBytes(name: EntryName, text: string): Buffer {
  return Buffer.from(`kiln cache entry ${name}\n${text}`);
}

function unusable(kind: "private" | "public", where: string, cause: unknown): BuildError {
  return new BuildError("cli/usage", `Cannot use ${JSON.stringify(where)}: it is no ${kind} ed25519 key in PEM form`, {
    hint: "openssl genpkey -algorithm ed25519 -out cache.key && openssl pkey -in cache.key -pubout -out cache.pub",
    cause,
  });
}
