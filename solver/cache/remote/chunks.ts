import { digestOf } from "../../../lib/core/digest.ts";

/*
 * Cuts a stream into chunks at places that its content determines: a change in one place changes the chunks around
 * it, and those before and after stay the same. A gear hash: each byte shifts it by one bit and adds a random
 * number, so that it depends on the last 32 bytes. The table, the sizes and the condition are part of the format:
 * others give other chunks, which costs one upload of everything, and nothing else.
 */

const MIN_BYTES = 1 << 20;
export const MAX_CHUNK_BYTES = 16 << 20;
/** Leading zeros of the hash at a cut: one in 4 MiB. */
const CUT_SHIFT = 32 - 22;

/** Cuts a stream. The reader owns each chunk. */
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
      // Bytes too early for a cut are hashed only where they count for one.
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

/** Makes 256 pseudo-random numbers of 32 bits, the same everywhere. */
function gearTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => Number.parseInt(digestOf(`gear ${byte}`).slice(7, 15), 16));
}
