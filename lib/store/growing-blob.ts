import { closeSync, openSync, read } from "node:fs";

/** A blob during its writing: its bytes can be read as they come. */
export interface GrowingBlob {
  /**
   * Reads all bytes from an offset on; ends when the blob is complete. A chunk stays unchanged while the next
   * `KEPT_CHUNKS` are read: a stream and a socket hold on to that many.
   * @throws the error of the writing
   */
  read(offsetBytes: number, signal: AbortSignal): AsyncGenerator<Buffer, void>;
  /**
   * Waits until the blob has that many bytes.
   * @returns false when it is complete with fewer
   * @throws the error of the writing
   */
  reaches(sizeBytes: number, signal: AbortSignal): Promise<boolean>;
}

const CHUNK_BYTES = 1 << 20;
/** Buffers are reused, because new ones for every mebibyte keep the garbage collector busy on another thread. */
export const KEPT_CHUNKS = 6;

/**
 * The writer's side: it tells readers how far the file has grown. They read the file, so a slow reader delays nothing.
 */
export class BlobGrowth implements GrowingBlob {
  #path: string;
  #sizeBytes = 0;
  #state: "growing" | "complete" | { readonly error: unknown } = "growing";
  #changed = Promise.withResolvers<void>();

  /** @param path the file being written */
  constructor(path: string) {
    this.#path = path;
  }

  grew(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
    this.#wake();
  }

  /**
   * Ends the growth.
   * @param path the file's name from now on; readers that have it open are not affected
   */
  completed(path: string): void {
    this.#path = path;
    this.#state = "complete";
    this.#wake();
  }

  failed(error: unknown): void {
    this.#state = { error };
    this.#wake();
  }

  async reaches(sizeBytes: number, signal: AbortSignal): Promise<boolean> {
    while (this.#sizeBytes < sizeBytes) {
      if (typeof this.#state === "object") throw this.#state.error;
      if (this.#state === "complete") return false;
      await this.#change(signal);
    }
    return true;
  }

  async *read(offsetBytes: number, signal: AbortSignal): AsyncGenerator<Buffer, void> {
    let fd: number | undefined;
    const buffers: Buffer[] = [];
    try {
      for (let at = offsetBytes; ;) {
        signal.throwIfAborted();
        if (typeof this.#state === "object") throw this.#state.error;
        if (at === this.#sizeBytes) {
          if (this.#state === "complete") return;
          await this.#change(signal);
          continue;
        }
        fd ??= openSync(this.#path, "r");
        const buffer =
          (buffers.length > KEPT_CHUNKS ? buffers.shift() : undefined) ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
        buffers.push(buffer);
        const chunk = await readAt(fd, buffer.subarray(0, Math.min(CHUNK_BYTES, this.#sizeBytes - at)), at);
        at += chunk.length;
        yield chunk;
      }
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  /** Waits for the writer, or the end of the signal. */
  async #change(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<void>();
    const abort = (): void => aborted.resolve();
    signal.addEventListener("abort", abort, { once: true });
    try {
      signal.throwIfAborted();
      await Promise.race([this.#changed.promise, aborted.promise]);
      signal.throwIfAborted();
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

function readAt(fd: number, buffer: Buffer, position: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, buffer.length, position, (error, count) => {
      if (error !== null) reject(error);
      else if (count === 0) reject(new Error("a blob became shorter while it was written"));
      else resolve(buffer.subarray(0, count));
    });
  });
}
