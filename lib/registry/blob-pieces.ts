import { Readable } from "node:stream";
import type { BlobSource } from "./registry.ts";

/** A stream of the blob, and the part of it that has not been given out. */
interface Opened {
  readonly stream: Readable;
  readonly chunks: AsyncIterator<Buffer>;
  rest: Buffer | undefined;
  offsetBytes: number;
}

/**
 * Reads a blob in pieces: one stream as long as each piece follows the one before it, another one after a break.
 * Disposing it closes the stream.
 */
export class BlobPieces implements Disposable {
  readonly #blob: BlobSource;
  #opened: Opened | undefined;

  constructor(blob: BlobSource) {
    this.#blob = blob;
  }

  /**
   * Opens one piece. The stream fails where the blob is shorter; one that is given up closes the blob.
   * @param onBytes receives the offset behind each chunk that is read
   */
  async open(
    piece: { readonly offsetBytes: number; readonly sizeBytes: number },
    onBytes: (endBytes: number) => void,
    signal: AbortSignal,
  ): Promise<Readable> {
    const { offsetBytes, sizeBytes } = piece;
    const opened = this.#opened?.offsetBytes === offsetBytes ? this.#opened : await this.#openAt(offsetBytes, signal);
    const bytes = read(opened, sizeBytes, this.#blob.descriptor.size, onBytes);
    const stream = Readable.from(bytes, { objectMode: false, highWaterMark: 1 << 20 });
    stream.once("close", () => {
      if (opened.offsetBytes < offsetBytes + sizeBytes) this.#close(opened);
    });
    return stream;
  }

  [Symbol.dispose](): void {
    if (this.#opened !== undefined) this.#close(this.#opened);
  }

  async #openAt(offsetBytes: number, signal: AbortSignal): Promise<Opened> {
    this[Symbol.dispose]();
    const later = offsetBytes === 0 ? undefined : this.#blob.openAt?.(offsetBytes, signal);
    const stream = await (later ?? this.#blob.open(signal));
    // A stream that is given up may fail, which would end the process.
    stream.on("error", () => undefined);
    const chunks = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    const opened: Opened = { stream, chunks, rest: undefined, offsetBytes };
    this.#opened = opened;
    if (later === undefined) await skip(opened, offsetBytes);
    return opened;
  }

  #close(opened: Opened): void {
    opened.stream.destroy();
    if (this.#opened === opened) this.#opened = undefined;
  }
}

async function* read(
  opened: Opened,
  sizeBytes: number,
  blobBytes: number,
  onBytes: (endBytes: number) => void,
): AsyncGenerator<Buffer, void> {
  for (let left = sizeBytes; left > 0;) {
    const chunk = opened.rest ?? (await next(opened));
    if (chunk === undefined) throw new Error(`a blob of ${blobBytes} bytes ended after ${opened.offsetBytes}`);
    const taken = chunk.subarray(0, left);
    opened.rest = taken.length < chunk.length ? chunk.subarray(taken.length) : undefined;
    left -= taken.length;
    // A source that checks the digest does so at its end, which comes before the last bytes are sent.
    if (left === 0 && opened.offsetBytes + taken.length === blobBytes) await readToEnd(opened);
    opened.offsetBytes += taken.length;
    onBytes(opened.offsetBytes);
    yield taken;
  }
}

async function next({ chunks }: Opened): Promise<Buffer | undefined> {
  const step = await chunks.next();
  return step.done === true ? undefined : step.value;
}

async function skip(opened: Opened, sizeBytes: number): Promise<void> {
  for (let left = sizeBytes; left > 0;) {
    const chunk = await next(opened);
    if (chunk === undefined) return;
    if (chunk.length > left) opened.rest = chunk.subarray(left);
    left -= chunk.length;
  }
}

async function readToEnd(opened: Opened): Promise<void> {
  if (opened.rest !== undefined) return;
  while ((await next(opened)) !== undefined);
}
