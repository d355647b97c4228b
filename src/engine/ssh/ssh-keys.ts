import { type JsonWebKey, type JsonWebKeyInput, type KeyObject, createPrivateKey, sign } from "node:crypto";
import { SshReader, mpint, positive, text, words } from "./ssh-wire.ts";

/** A private key as an agent offers it. */
export interface SshKey {
  /** The public key in SSH's own form; clients name it by that. */
  readonly publicBlob: Buffer;
  readonly comment: string;
  /** Makes a signature in SSH's own form. `flags` of the request choose the digest of RSA keys (RFC 8332). */
  sign(data: Uint8Array, flags: number): Buffer;
}

/**
 * Parses a private key: OpenSSH's own format, PKCS#1, PKCS#8 or SEC1, without a passphrase. RSA, Ed25519 and ECDSA.
 * @throws {Error} with the reason
 */
export function parseSshKey(pem: string): SshKey {
  if (pem.startsWith("PuTTY-User-Key-File")) throw new Error("it is in PuTTY's form");
  if (/^(?:ssh-|ecdsa-|sk-)\S+ |PUBLIC KEY----/m.test(pem)) throw new Error("it is the public key");
  if (!pem.includes("PRIVATE KEY-----")) throw new Error("it is no private key");
  // The word stands in the first line of PKCS#8, and in a header of the older forms.
  if (pem.includes("ENCRYPTED")) throw new Error(PASSPHRASE);
  const own = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/.exec(pem)?.[1];
  return own === undefined ? keyOf(readable(pem), "") : openSshKey(Buffer.from(own, "base64"));
}

const PASSPHRASE = "it has a passphrase";
const DAMAGED = "it is damaged";

/** Reads a key with OpenSSL, and replaces its unhelpful errors. */
function readable(key: string | JsonWebKeyInput): KeyObject {
  try {
    return createPrivateKey(key);
  } catch (error) {
    throw new Error(DAMAGED, { cause: error });
  }
}

/** Parses https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.key */
function openSshKey(bytes: Buffer): SshKey {
  const magic = "openssh-key-v1\0";
  if (bytes.toString("latin1", 0, magic.length) !== magic) throw new Error(DAMAGED);
  const outer = new SshReader(bytes.subarray(magic.length));
  if (outer.text() !== "none") throw new Error(PASSPHRASE);
  outer.bytes(); // kdf
  outer.bytes(); // its options
  if (outer.number() !== 1) throw new Error("it holds several keys");
  outer.bytes(); // the public key, which follows from the private one
  const inner = new SshReader(outer.bytes());
  if (inner.number() !== inner.number()) throw new Error(DAMAGED);
  const type = inner.text();
  const jwk = privateJwk(type, inner);
  return keyOf(readable({ key: jwk, format: "jwk" }), inner.text());
}

function privateJwk(type: string, inner: SshReader): JsonWebKey {
  const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
  if (type === "ssh-ed25519") {
    const x = inner.bytes();
    return { kty: "OKP", crv: "Ed25519", x: b64(x), d: b64(inner.bytes().subarray(0, 32)) };
  }
  if (type === "ssh-rsa") {
    const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => positive(inner.bytes()));
    if (n === undefined || e === undefined || d === undefined || qi === undefined || p === undefined || q === undefined)
      throw new Error(DAMAGED);
    const exponent = (prime: Buffer): string => b64(bytesOf(numberOf(d) % (numberOf(prime) - 1n)));
    return {
      ...{ kty: "RSA", n: b64(n), e: b64(e), d: b64(d), p: b64(p), q: b64(q), qi: b64(qi) },
      ...{ dp: exponent(p), dq: exponent(q) },
    };
  }
  const curve = CURVES.find(({ name }) => type === `ecdsa-sha2-${name}`);
  if (curve === undefined) throw new Error(`keys of type ${type} are not supported`);
  inner.bytes(); // the curve's name once more
  const point = inner.bytes();
  const half = (point.length - 1) / 2;
  const d = positive(inner.bytes());
  const padded = Buffer.concat([Buffer.alloc(Math.max(0, half - d.length)), d]);
  return {
    kty: "EC",
    crv: curve.jwk,
    x: b64(point.subarray(1, 1 + half)),
    y: b64(point.subarray(1 + half)),
    d: b64(padded),
  };
}

const CURVES = [
  { name: "nistp256", jwk: "P-256", digest: "sha256" },
  { name: "nistp384", jwk: "P-384", digest: "sha384" },
  { name: "nistp521", jwk: "P-521", digest: "sha512" },
] as const;

/** Flags of a request to sign (draft-miller-ssh-agent, 3.6.1). */
const RSA_SHA2_256 = 2;
const RSA_SHA2_512 = 4;

function keyOf(key: KeyObject, comment: string): SshKey {
  const type = key.asymmetricKeyType ?? "unknown";
  if (type !== "rsa" && type !== "ed25519" && type !== "ec") throw new Error(`keys of type ${type} are not supported`);
  const jwk = key.export({ format: "jwk" });
  const part = (value: string | undefined): Buffer => Buffer.from(value ?? "", "base64url");
  if (jwk.kty === "OKP" && jwk.crv === "Ed25519") {
    return {
      publicBlob: words(text("ssh-ed25519"), part(jwk.x)),
      comment,
      sign: (data) => words(text("ssh-ed25519"), sign(undefined, data, key)),
    };
  }
  if (jwk.kty === "RSA") {
    return {
      publicBlob: words(text("ssh-rsa"), mpint(part(jwk.e)), mpint(part(jwk.n))),
      comment,
      sign(data, flags) {
        if ((flags & RSA_SHA2_512) !== 0) return words(text("rsa-sha2-512"), sign("sha512", data, key));
        if ((flags & RSA_SHA2_256) !== 0) return words(text("rsa-sha2-256"), sign("sha256", data, key));
        return words(text("ssh-rsa"), sign("sha1", data, key));
      },
    };
  }
  const curve = CURVES.find((one) => one.jwk === jwk.crv);
  if (curve === undefined) throw new Error("keys on its curve are not supported");
  const algorithm = text(`ecdsa-sha2-${curve.name}`);
  return {
    publicBlob: words(algorithm, text(curve.name), Buffer.concat([Buffer.of(4), part(jwk.x), part(jwk.y)])),
    comment,
    sign(data) {
      const both = sign(curve.digest, data, { key, dsaEncoding: "ieee-p1363" });
      const [r, s] = [both.subarray(0, both.length / 2), both.subarray(both.length / 2)];
      return words(algorithm, words(mpint(r), mpint(s)));
    },
  };
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
}

function bytesOf(number: bigint): Buffer {
  const hex = number.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
}
