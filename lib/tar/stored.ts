import type { ZlibOptions } from "node:zlib";

/** Size of a sample; the next number is the distance between samples. */
const SAMPLE = 4 << 10;
const SAMPLE_EVERY = 256 << 10;

/**
 * Tells whether samples of the block shrink by less than a hundredth, as noise, archives and media do: compressing
 * those takes twenty times as long as copying them and gains nothing. Depends on the bytes alone.
 */
export async function isIncompressible(block: Buffer): Promise<boolean> {
  const count = Math.floor(block.length / SAMPLE_EVERY);
  if (count < 2) return false;
  const apart = Math.floor((block.length - SAMPLE) / (count - 1));
  const sample = Buffer.concat(
    Array.from({ length: count }, (_, at) => block.subarray(at * apart, at * apart + SAMPLE)),
  );
  // A state of a few pages instead of 256 KiB, because it is allocated for every block.
  const small = { level: 1, windowBits: 12, memLevel: 5, chunkSize: sample.length + 1024 };
  return (await deflateRaw(sample, small)).length > sample.length * 0.99;
}

/** Deflates on a thread of libuv's. */
export function deflateRaw(block: Buffer, options: ZlibOptions): Promise<Buffer> {
  const zlib = process.getBuiltinModule("node:zlib");
  return new Promise((resolve, reject) => {
    zlib.deflateRaw(block, { chunkSize: 256 << 10, ...options }, (error, result) =>
      error === null ? resolve(result) : reject(error),
    );
  });
}

/** Maximum length of a stored block: 16 bits. RFC 1951, 3.2.4. */
const DEFLATE_MAX = 0xff_ff;

/** Returns the maximum number of bytes added to a block of that size. */
export function storedOverhead(sizeBytes: number): number {
  return ZSTD_HEAD_BYTES + 5 * Math.ceil(sizeBytes / DEFLATE_MAX);
}

/**
 * Writes the block as stored deflate blocks: it begins and ends at a byte boundary.
 * @param into has room for them
 */
export function storedDeflate(block: Buffer, isLast: boolean, into: Buffer): Buffer {
  return framed(block, into, { head: 0, max: DEFLATE_MAX, headerBytes: 5 }, (out, at, { size, isEnd }) => {
    out[at] = isLast && isEnd ? 1 : 0;
    out.writeUInt16LE(size, at + 1);
    out.writeUInt16LE(size ^ DEFLATE_MAX, at + 3);
  });
}

/** Magic number, a descriptor for "one segment, four bytes of size, no checksum", and the size. RFC 8878, 3.1.1. */
const ZSTD_HEAD_BYTES = 9;
const ZSTD_MAX = 128 << 10;

/** Writes the block as a zstd frame of raw blocks. It has no checksum: every layer has its digest. */
export function storedZstd(block: Buffer, into: Buffer): Buffer {
  const out = framed(
    block,
    into,
    { head: ZSTD_HEAD_BYTES, max: ZSTD_MAX, headerBytes: 3 },
    (to, at, { size, isEnd }) => {
      to.writeUIntLE((size << 3) | (isEnd ? 1 : 0), at, 3);
    },
  );
  out.writeUInt32LE(0xfd_2f_b5_28, 0);
  out[4] = 0b1010_0000;
  out.writeUInt32LE(block.length, 5);
  return out;
}

/** Copies a non-empty block in parts, each after a header that `write` fills in. */
function framed(
  block: Buffer,
  out: Buffer,
  { head, max, headerBytes }: { readonly head: number; readonly max: number; readonly headerBytes: number },
  write: (out: Buffer, offset: number, piece: { readonly size: number; readonly isEnd: boolean }) => void,
): Buffer {
  let to = head;
  for (let from = 0; from < block.length; from += max) {
    const size = Math.min(max, block.length - from);
    write(out, to, { size, isEnd: from + size === block.length });
    to += headerBytes;
    to += block.copy(out, to, from, from + size);
  }
  return out.subarray(0, to);
}
