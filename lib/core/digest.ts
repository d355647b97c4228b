import { createHash, hash, type Hash } from "node:crypto";
import { Transform, type TransformCallback } from "node:stream";
import { BuildError } from "./errors.ts";

declare const brand: unique symbol;

/** `sha256:` and 64 lower-case hex digits; kiln reads and writes no other algorithm. OCI image-spec, descriptor.md. */
export type Digest = string & { readonly [brand]: "digest" };

const PATTERN = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return PATTERN.test(text);
}

/**
 * Parses a digest.
 * @throws {BuildError} `digest/malformed`; `where` names the document, as in `manifest of "alpine"`.
 */
export function parseDigest(text: string, where: string): Digest {
  if (!isDigest(text)) {
    throw new BuildError("digest/malformed", `Cannot read ${where}: ${JSON.stringify(text)} is not a sha256 digest`);
  }
  return text;
}

/** Computes the digest of a whole value in memory: documents and keys, never layers. Strings count as UTF-8. */
export function digestOf(data: string | Uint8Array): Digest {
  return ofHash(hash("sha256", data, "hex"));
}

function ofHash(hex: string): Digest {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- SHA-256 in hex is 64 lower-case digits; this runs for every key
  return `sha256:${hex}` as Digest;
}

/** Returns the 64 hex digits, for file names. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length);
}

/** Brands 64 hex digits from a hash that this process computed or from a file name written by `hexOf`. */
export function digestFromHex(hex: string): Digest {
  return parseDigest(`sha256:${hex}`, "a digest's hex digits");
}

/** A digest computation: call `update` as often as needed and `digest` once. */
export class Digester {
  readonly #hash: Hash = createHash("sha256");
  #sizeBytes = 0;

  update(chunk: Uint8Array | string): this {
    this.#hash.update(chunk);
    this.#sizeBytes += typeof chunk === "string" ? Buffer.byteLength(chunk) : chunk.byteLength;
    return this;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  digest(): Digest {
    return ofHash(this.#hash.digest("hex"));
  }
}

/** A stream that passes bytes through unchanged, counting and digesting them. Read `result()` once it has ended. */
export class DigestStream extends Transform {
  readonly #digester = new Digester();
  #result: { readonly digest: Digest; readonly sizeBytes: number } | undefined;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#digester.update(chunk);
    done(undefined, chunk);
  }

  override _flush(done: TransformCallback): void {
    this.#result = { digest: this.#digester.digest(), sizeBytes: this.#digester.sizeBytes };
    done();
  }

  result(): { readonly digest: Digest; readonly sizeBytes: number } {
    if (this.#result === undefined) throw new Error("DigestStream.result() before the stream ended");
    return this.#result;
  }
}
