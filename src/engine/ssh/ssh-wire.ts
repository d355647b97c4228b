/** A reader of SSH's binary form (RFC 4251, section 5): lengths are four bytes, highest first. */
export class SshReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  number(): number {
    if (this.#at + 4 > this.#bytes.length) throw new Error(CUT_OFF);
    const value = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  bytes(): Buffer {
    const length = this.number();
    if (length > this.#bytes.length - this.#at) throw new Error(CUT_OFF);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text(): string {
    return this.bytes().toString("latin1");
  }
}

const CUT_OFF = "it ends too early";

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function text(value: string): Buffer {
  return Buffer.from(value, "latin1");
}

/** Joins parts, each after its length. */
export function words(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts.flatMap((part) => [uint32(part.length), part]));
}

/** Encodes a positive number as an `mpint`: no leading zeros, except one where the highest bit is set. */
export function mpint(bytes: Uint8Array): Buffer {
  const plain = positive(bytes);
  return (plain[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), plain]) : plain;
}

/** Removes leading zeros. */
export function positive(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  return Buffer.from(first === -1 ? bytes.subarray(bytes.length) : bytes.subarray(first));
}
