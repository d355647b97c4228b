import { digestOf } from "../../../lib/core/digest.ts";

/*
 * Cuts a stream into pieces where its content says so: a change in one place changes the pieces around it, and those
 * before and after stay what they were. A gear hash: each byte shifts it by one bit and adds a random number, so that it
 * depends on the last 32 bytes. The table, the sizes and the condition are part of the format: other ones give other pieces,
 * which costs an upload of everything once, and nothing else.
 */

const MIN_BYTES = 1 << 20;
export const MAX_CHUNK_BYTES = 16 << 20;
/** Leading zeros of the hash at a cut: one in 4 MiB. */
const CUT_SHIFT = 32 - 22;

/** Each piece is the reader's to keep. */
export async function* chunksOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void> {
  const gear = gearTable();
  let piece = Buffer.allocUnsafe(MAX_CHUNK_BYTES);
  let size = 0;
  let hash = 0;
  for await (const bytes of source) {
    let from = 0;
    while (from < bytes.length) {
      let to = from;
      const end = Math.min(bytes.length, from + MAX_CHUNK_BYTES - size);
      let isCut = false;
      // Bytes that cannot be a cut are still hashed where they may count for one.
      const first = Math.min(end, Math.max(from, from + MIN_BYTES - 32 - size));
      for (to = first; to < end && !isCut; to += 1) {
        hash = ((hash << 1) + (gear[bytes[to] ?? 0] ?? 0)) >>> 0;
        isCut = hash >>> CUT_SHIFT === 0 && size + to - from + 1 >= MIN_BYTES;
      }
      piece.set(bytes.subarray(from, to), size);
      size += to - from;
      from = to;
      if (!isCut && size < MAX_CHUNK_BYTES) continue;
      yield piece.subarray(0, size);
      piece = Buffer.allocUnsafe(MAX_CHUNK_BYTES);
      size = 0;
      hash = 0;
    }
  }
  if (size > 0) yield piece.subarray(0, size);
}

/** 256 numbers of 32 bits that look random and are the same everywhere. */
function gearTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => Number.parseInt(digestOf(`gear ${byte}`).slice(7, 15), 16));
}
