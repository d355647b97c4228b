import { addAbortSignal, type Readable } from "node:stream";
import { decodeSource } from "../../../lib/core/decode-source.ts";
import type { SourceText } from "../../../lib/core/span.ts";
import { MAX_DOCKERFILE_BYTES, tooLarge } from "./context-deps.ts";

/**
 * Reads a Dockerfile from a stream, with a size limit because another party decides its length.
 * @param name as shown to people
 * @throws {BuildError} of `tooLarge`, as soon as it is, and of `decodeSource`
 */
export async function dockerfileText(stream: Readable, name: string, signal: AbortSignal): Promise<SourceText> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of addAbortSignal(signal, stream) as AsyncIterable<Buffer | string>) {
      const bytes = Buffer.from(chunk);
      size += bytes.length;
      if (size > MAX_DOCKERFILE_BYTES) throw tooLarge(name);
      chunks.push(bytes);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  return decodeSource(name, Buffer.concat(chunks), "a Dockerfile");
}
