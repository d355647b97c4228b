import { malformed } from "./header-read.ts";

/** A stream of compressed members (gzip, RFC 1952) or frames (zstd, RFC 8878), read one at a time. */
export class CompressedInput {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);
  /** The next chunk, requested while the newest is decompressed. */
  #coming: Promise<IteratorResult<Uint8Array>> | undefined;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** Returns the bytes at hand, or the next chunk; `undefined` at the end. */
  async next(): Promise<Buffer | undefined> {
    while (this.#rest.length === 0) {
      const piece = await this.#pull();
      if (piece === undefined) return undefined;
      this.#rest = piece;
    }
    const piece = this.#rest;
    this.#rest = Buffer.alloc(0);
    return piece;
  }

  /** Gives back the end of the last `next`. */
  unread(bytes: Buffer): void {
    this.#rest = bytes;
  }

  /** Returns up to `length` bytes, which stay unread; fewer at the end of the stream. */
  async peek(length: number): Promise<Buffer> {
    while (this.#rest.length < length) {
      const piece = await this.#pull();
      if (piece === undefined) break;
      this.#rest = Buffer.concat([this.#rest, piece]);
    }
    return this.#rest.subarray(0, length);
  }

  /**
   * Reads bytes.
   * @throws {BuildError} `archive/malformed` when the stream ends before
   */
  async take(length: number): Promise<Buffer> {
    const bytes = Buffer.from(await this.peek(length));
    if (bytes.length < length) throw malformed("its compression (gzip) ends early");
    this.#rest = this.#rest.subarray(length);
    return bytes;
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  async #pull(): Promise<Buffer | undefined> {
    const next = await (this.#coming ?? this.#iterator.next());
    if (next.done === true) return undefined;
    const { value } = next;
    this.#coming = this.#iterator.next();
    // The next call awaits it; until then its failure must not count as unhandled.
    this.#coming.catch(() => undefined);
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }
}

/**
 * Tells whether another member or frame follows.
 * @throws {BuildError} `archive/malformed` for other data, except zeros after gzip
 */
export async function hasMember(input: CompressedInput, kind: "gzip" | "zstd", isFirst: boolean): Promise<boolean> {
  const start = await input.peek(4);
  if (start.length === 0 && !isFirst) return false;
  if (kind === "gzip") {
    if (start[0] === 0x1f && start[1] === 0x8b) return true;
    if (!isFirst && (await onlyZeros(input))) return false;
  } else if (start.length === 4) {
    const magic = start.readUInt32LE();
    if (magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50) return true;
  }
  throw malformed(`its compression (${kind}) is damaged, or other bytes follow it`);
}

/** Skips a member's header. */
export async function skipGzipHeader(input: CompressedInput): Promise<void> {
  const fixed = await input.take(10);
  const flags = fixed[3] ?? 0;
  if (fixed[2] !== 8 || (flags & 0xe0) !== 0) throw malformed("its compression (gzip) is of an unknown kind");
  if (flags & 4) await input.take((await input.take(2)).readUInt16LE());
  // A name and a comment, each up to its NUL.
  for (const flag of [8, 16]) if (flags & flag) while ((await input.take(1))[0] !== 0);
  if (flags & 2) await input.take(2);
}

/** Compares a member's trailer with its content. */
export async function checkGzipTrailer(input: CompressedInput, crc: number, sizeBytes: number): Promise<void> {
  const trailer = await input.take(8);
  if (trailer.readUInt32LE(0) !== crc || trailer.readUInt32LE(4) !== sizeBytes % 2 ** 32) {
    throw malformed("its compression (gzip) has a wrong checksum");
  }
}

async function onlyZeros(input: CompressedInput): Promise<boolean> {
  for (let piece = await input.next(); piece !== undefined; piece = await input.next()) {
    if (piece.some((byte) => byte !== 0)) return false;
  }
  return true;
}
