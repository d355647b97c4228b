import { BuildError } from "../core/errors.ts";
import { BlobPieces } from "./blob-pieces.ts";
import { refused, unreachable } from "./failure.ts";
import type { BlobSource, Timer } from "./registry.ts";
import { isPassingRefusal, type Refused, UploadSession, type UploadTarget } from "./upload-session.ts";

/** Limit of attempts without progress between them. */
const MAX_ATTEMPTS = 4;
const FIRST_PAUSE_MS = 500;
/** Bytes that count as progress: an upload that dies after a few bytes each time is given up. */
const PROGRESS_BYTES = 1 << 20;
/** Size of a chunk, below the known limits of proxies in front of registries for one request. */
const CHUNK_BYTES = 16 << 20;
/** Minimum size of a chunk for a proxy that refuses larger ones. */
const LEAST_CHUNK_BYTES = 256 << 10;

export interface BlobUpload extends UploadTarget {
  readonly blob: BlobSource;
  readonly timer: Timer;
}

/**
 * Uploads a blob: POST opens an upload, one PUT fills it. After a broken connection the upload goes on where the registry
 * says that it is, or a new one begins. Where the registry refuses the whole body (413, and 4xx of registries that take
 * only chunks), it is sent in chunks by PATCH.
 */
export async function uploadBlob(upload: BlobUpload, signal: AbortSignal): Promise<void> {
  using sending = new Sending(upload);
  try {
    await sendAll(sending, upload, signal);
  } catch (error) {
    await sending.cancel();
    throw error;
  }
}

async function sendAll(sending: Sending, upload: BlobUpload, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const before = sending.furthestBytes;
    let failure: unknown;
    let pauseMs: number | undefined;
    try {
      const refusal = await sending.send(signal);
      if (refusal === undefined) return;
      failure = refused(upload.purpose, refusal);
      pauseMs = refusal.pauseMs;
      if (!(await sending.adapt(refusal, signal))) throw failure;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof BuildError && error.code !== "registry/unreachable") throw error;
      failure ??= unreachable(upload.purpose, error);
      await sending.recover(signal);
      // A proxy that limits bodies may simply close the connection on a larger one.
      if (attempt >= MAX_ATTEMPTS - 2) sending.how = "chunks";
    }
    if (sending.furthestBytes - before >= PROGRESS_BYTES) attempt = 0;
    if (attempt === MAX_ATTEMPTS) throw failure;
    await upload.timer.wait(pauseMs ?? FIRST_PAUSE_MS * 2 ** Math.max(0, attempt - 1), signal);
  }
}

/** The sending of one blob, over several uploads if need be. */
class Sending implements Disposable {
  readonly #upload: BlobUpload;
  readonly #pieces: BlobPieces;
  #session: UploadSession | undefined;
  #chunkBytes = CHUNK_BYTES;
  how: "whole" | "chunks" = "whole";
  /** Number of bytes that a registry has had in one upload. */
  furthestBytes = 0;

  constructor(upload: BlobUpload) {
    this.#upload = upload;
    this.#pieces = new BlobPieces(upload.blob);
  }

  /**
   * Sends what is missing.
   * @returns the refusing answer; `undefined` when the registry has the blob
   */
  async send(signal: AbortSignal): Promise<Refused | undefined> {
    const { digest, size } = this.#upload.blob.descriptor;
    this.#session ??= await UploadSession.begin(this.#upload, signal);
    const session = this.#session;
    if (this.how === "whole" && session.sizeBytes === 0)
      return session.finish(digest, this.#piece(0, size, signal), signal);
    for (let stalls = 0; session.sizeBytes < size;) {
      const from = session.sizeBytes;
      const sizeBytes = Math.min(Math.max(this.#chunkBytes, session.leastChunkBytes), size - from);
      const refusal = await session.append(this.#piece(from, sizeBytes, signal), signal);
      if (refusal?.status === 413 && this.#makeSmaller(sizeBytes, session)) continue;
      if (refusal !== undefined) return refusal;
      this.furthestBytes = Math.max(this.furthestBytes, session.sizeBytes);
      stalls = session.sizeBytes > from ? 0 : stalls + 1;
      if (stalls === MAX_ATTEMPTS) throw new Error(`the registry takes no more than ${from} bytes`);
    }
    return session.finish(digest, undefined, signal);
  }

  /**
   * Changes the way of sending after a refusal.
   * @returns false when another attempt would be refused too
   */
  async adapt(refusal: Refused, signal: AbortSignal): Promise<boolean> {
    const { status } = refusal;
    const session = this.#session;
    const hasChunks = this.how === "chunks" || (session?.sizeBytes ?? 0) > 0;
    if (!hasChunks && [400, 404, 405, 411, 413, 415, 416, 501].includes(status)) {
      this.how = "chunks";
      this.#session = undefined;
      return true;
    }
    // One of several servers may not know another's upload, or not all of it.
    if (!(hasChunks && [404, 416].includes(status)) && !isPassingRefusal(refusal)) return false;
    await this.recover(signal);
    return true;
  }

  /** Finds out where the upload is after a failure; without an answer the next one begins anew. */
  async recover(signal: AbortSignal): Promise<void> {
    const session = this.#session;
    const { size } = this.#upload.blob.descriptor;
    const before = session?.sizeBytes ?? 0;
    const isKnown = session !== undefined && (await session.refresh(signal));
    if (!isKnown || session.sizeBytes > size || session.sizeBytes < before) this.#session = undefined;
    else this.furthestBytes = Math.max(this.furthestBytes, session.sizeBytes);
  }

  /** Tells the registry that nothing more will come. */
  async cancel(): Promise<void> {
    await this.#session?.cancel();
  }

  [Symbol.dispose](): void {
    this.#pieces[Symbol.dispose]();
  }

  /** Makes chunks smaller than one that was too large; false when there are no smaller ones. */
  #makeSmaller(sizeBytes: number, { leastChunkBytes }: UploadSession): boolean {
    if (sizeBytes <= Math.max(LEAST_CHUNK_BYTES, leastChunkBytes)) return false;
    this.#chunkBytes = Math.max(LEAST_CHUNK_BYTES, sizeBytes >> 2);
    return true;
  }

  #piece(offsetBytes: number, sizeBytes: number, signal: AbortSignal): Parameters<UploadSession["append"]>[0] {
    const { blob } = this.#upload;
    const report = (endBytes: number): void => blob.onProgress?.(endBytes);
    return { sizeBytes, open: () => this.#pieces.open({ offsetBytes, sizeBytes }, report, signal) };
  }
}
