import type { Readable } from "node:stream";

/** A piece of an object, in memory so that it can be sent again. */
export interface Part {
  /** Counted from 0. */
  readonly index: number;
  readonly offsetBytes: number;
  readonly bytes: Buffer;
}

/** Cuts a stream into parts of one size; the last one may be smaller. */
async function* partsOf(stream: Readable, partBytes: number): AsyncGenerator<Part, void> {
  let chunks: Buffer[] = [];
  let size = 0;
  let index = 0;
  const part = (): Part => ({ index, offsetBytes: index * partBytes, bytes: Buffer.concat(chunks, size) });
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let rest = chunk;
    while (size + rest.length >= partBytes) {
      chunks.push(rest.subarray(0, partBytes - size));
      rest = rest.subarray(partBytes - size);
      size = partBytes;
      yield part();
      index += 1;
      chunks = [];
      size = 0;
    }
    if (rest.length === 0) continue;
    chunks.push(rest);
    size += rest.length;
  }
  if (size > 0 || index === 0) yield part();
}

/**
 * Sends a stream in parts, several at a time. The first failure ends the others.
 * @returns the results in the order of the parts
 */
export async function sendParts<T>(
  stream: Readable,
  how: { readonly partBytes: number; readonly parallel: number },
  signal: AbortSignal,
  send: (part: Part, signal: AbortSignal) => Promise<T>,
): Promise<T[]> {
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const results: T[] = [];
  const running = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  const start = (part: Part): void => {
    const work = (async (): Promise<void> => {
      try {
        results[part.index] = await send(part, inner);
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    })().finally(() => running.delete(work));
    running.add(work);
  };
  try {
    for await (const part of partsOf(stream, how.partBytes)) {
      start(part);
      while (running.size >= how.parallel) await Promise.race(running);
      if (failure !== undefined) break;
    }
  } catch (error) {
    failure ??= { error };
    stop.abort(error);
  } finally {
    await Promise.all(running);
    stream.destroy();
  }
  if (failure !== undefined) throw failure.error;
  signal.throwIfAborted();
  return results;
}
