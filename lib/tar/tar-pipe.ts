import { read } from "node:fs";
import { promisify } from "node:util";
import type { Native } from "../native/native.ts";

const readSome = promisify(read);

const CHUNK_BYTES = 1 << 20;

/** Work of the addon that writes into a pipe, and ends when it may not write any more. */
export type PipeWork<T> = (writeEnd: number, isCancelled: Int32Array) => Promise<T>;

/**
 * Yields what the addon writes into a pipe on a thread of its own; while the pipe is full, it waits for the reader. A thread of Node's
 * pool would not do: readers and compressors need the pool too, and a few writers that wait for them would keep them out of it for
 * ever. Each chunk is valid until the next one is requested.
 * @returns what the work gives at its end
 * @throws what the work throws; the signal's reason when aborted
 */
export async function* throughPipe<T>(
  native: Native,
  work: PipeWork<T>,
  signal: AbortSignal,
  onChunk?: () => void,
): AsyncGenerator<Buffer, T> {
  await using pipe = new TarPipe(native, work, signal);
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  for (let count = await pipe.read(buffer); count > 0; count = await pipe.read(buffer)) {
    signal.throwIfAborted();
    onChunk?.();
    yield buffer.subarray(0, count);
    signal.throwIfAborted();
  }
  return await pipe.result();
}

/** The read end of a pipe that the addon writes into, and the work. Disposing it ends both. */
class TarPipe<T> implements AsyncDisposable {
  readonly #native: Native;
  readonly #signal: AbortSignal;
  readonly #work: Promise<T>;
  readonly #isCancelled = new Int32Array(1);
  #readEnd: number | undefined;
  #isReading = false;

  constructor(native: Native, work: PipeWork<T>, signal: AbortSignal) {
    this.#native = native;
    this.#signal = signal;
    const { readEnd, writeEnd } = native.pipe();
    this.#readEnd = readEnd;
    this.#work = work(writeEnd, this.#isCancelled).finally(() => {
      native.close(writeEnd);
    });
    // `result` reports it, when the reader gets to the end.
    this.#work.catch(() => undefined);
    signal.addEventListener("abort", this.#stop, { once: true });
  }

  /**
   * Reads bytes.
   * @returns their number; 0 at the end, also after a failure
   */
  async read(into: Buffer): Promise<number> {
    if (this.#readEnd === undefined) return 0;
    this.#isReading = true;
    try {
      return (await readSome(this.#readEnd, into, 0, into.length, null)).bytesRead;
    } finally {
      this.#isReading = false;
    }
  }

  result(): Promise<T> {
    return this.#work;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener("abort", this.#stop);
    this.#stop();
    await this.#work.catch(() => undefined);
  }

  readonly #stop = (): void => {
    Atomics.store(this.#isCancelled, 0, 1);
    // Closing the read end wakes a writer that waits for a reader. A running read ends by itself.
    if (this.#isReading || this.#readEnd === undefined) return;
    this.#native.close(this.#readEnd);
    this.#readEnd = undefined;
  };
}
