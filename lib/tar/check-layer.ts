import { type Digest, Digester } from "../core/digest.ts";
import { TarReader } from "./read.ts";
import { memberPath } from "./unpack-path.ts";
import { readMarkName, roleOf } from "./whiteouts.ts";

/**
 * Reads a layer's tar to its end and writes nothing: it refuses everything that unpacking would refuse.
 * @returns the diffID
 * @throws {BuildError} `archive/malformed`, `archive/unsafe-path`
 */
export async function checkLayer(stream: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Digest> {
  const digester = new Digester();
  const reader = new TarReader();
  for await (const piece of stream) {
    signal.throwIfAborted();
    const chunk = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    digester.update(chunk);
    for (const event of reader.push(chunk)) {
      if (event.kind !== "entry") continue;
      const path = memberPath(event.entry.path);
      if (roleOf(path) === "mark") readMarkName(path);
      if (event.entry.type === "link") memberPath(event.entry.linkName);
    }
  }
  reader.finish();
  return digester.digest();
}
