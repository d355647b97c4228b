import { scrypt } from "node:crypto";
import { BuildError } from "../../../lib/core/errors.ts";
import { parseJson } from "../../../lib/core/json.ts";
import { NUMBER, object, TEXT } from "../../../lib/core/shape.ts";

const PEM = /-----BEGIN ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END/;

const SHAPE = object({
  kdf: object({
    name: TEXT,
    params: object({ N: NUMBER, r: NUMBER, p: NUMBER }),
    salt: TEXT,
  }),
  cipher: object({ name: TEXT, nonce: TEXT }),
  ciphertext: TEXT,
});
/** Limits of the work that a file may ask for; cosign writes N = 65536, r = 8, p = 1. */
const MOST = { N: 1 << 20, r: 16, p: 4 } as const;
const KEY_BYTES = 32;

/** Tells whether a file is a private key that cosign has encrypted. */
export function isCosignKey(pem: string): boolean {
  return PEM.test(pem);
}

/**
 * Decrypts a private key of cosign's: JSON in PEM, with scrypt and NaCl's secretbox.
 * @returns the key as PKCS #8
 * @throws {BuildError} `signature/key`
 */
export async function decryptCosignKey(pem: string, password: string, name: string): Promise<Buffer> {
  const text = Buffer.from(PEM.exec(pem)?.[1] ?? "", "base64").toString("utf8");
  const box = parseJson(text);
  if (!SHAPE.fits(box)) throw refused(name, "its content is damaged");
  const { kdf, cipher, ciphertext } = box;
  const { N, r, p } = kdf.params;
  const isKnown = kdf.name === "scrypt" && cipher.name === "nacl/secretbox";
  if (!isKnown || N > MOST.N || r > MOST.r || p > MOST.p) throw refused(name, "it is encrypted in an unknown way");
  const key = await derived(password, Buffer.from(kdf.salt, "base64"), { N, r, p }).catch(() => {
    throw refused(name, "its content is damaged");
  });
  const { default: nacl } = await import("tweetnacl");
  const nonce = Buffer.from(cipher.nonce, "base64");
  if (nonce.length !== nacl.secretbox.nonceLength) throw refused(name, "its content is damaged");
  const opened = nacl.secretbox.open(Buffer.from(ciphertext, "base64"), nonce, key);
  if (opened === null) throw refused(name, "the password is not the key's");
  return Buffer.from(opened);
}

function derived(
  password: string,
  salt: Buffer,
  params: { readonly N: number; readonly r: number; readonly p: number },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const maxmem = 256 * params.N * params.r;
    scrypt(password, salt, KEY_BYTES, { ...params, maxmem }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

function refused(name: string, why: string): BuildError {
  return new BuildError("signature/key", `Cannot use the key ${JSON.stringify(name)}: ${why}`, {
    hint: "the password is that of COSIGN_PASSWORD, or of standard input",
  });
}
