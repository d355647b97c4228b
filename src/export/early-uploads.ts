import type { Digest } from "../../lib/core/digest.ts";
import { type ImageRef, parseReference } from "../../lib/core/reference.ts";
import type { RegistryClient, StreamedBlob } from "../../lib/registry/registry.ts";
import type { GrowingBlob } from "../../lib/store/growing-blob.ts";
import type { ResultLayer } from "./exporter.ts";

/** Minimum size: smaller layers are compressed before an upload would have begun. */
const LEAST_BYTES = 4 << 20;
/** Compressed bytes before which no upload is begun. */
const LEAST_SENT_BYTES = 1 << 20;
/** Limit of concurrent early uploads; other layers are sent in their turn. */
const AT_ONCE = 4;

/**
 * Layers that are uploaded while they are still being compressed:
 *
 *     snapshot -> tar -> compressed -> file of the store -> (read again behind the writer) -> registry
 *
 * The digest of such a blob is unknown before its end, and so is whether the registry has it; if it does, the upload is
 * abandoned, and the registry is told so. After a failure here the blob is sent in the ordinary way, from the store.
 */
export class EarlyUploads implements AsyncDisposable {
  readonly #target: ImageRef;
  readonly #client: () => Promise<RegistryClient>;
  readonly #uploads = new Map<Digest, EarlyUpload>();

  /** @param name the reference with the repository for the blobs */
  constructor(name: string, client: () => Promise<RegistryClient>) {
    this.#target = parseReference(name);
    this.#client = client;
  }

  /** Begins to send the blob of a layer. */
  begin(layer: ResultLayer, blob: GrowingBlob, signal: AbortSignal): void {
    const isWorthIt = (layer.tarSizeBytes ?? 0) >= LEAST_BYTES && this.#uploads.size < AT_ONCE;
    if (!isWorthIt || this.#uploads.has(layer.diffId)) return;
    this.#uploads.set(layer.diffId, new EarlyUpload(this.#target, blob, this.#client, signal));
  }

  /** Takes out the upload of a layer to this repository, if there is one: the caller finishes or disposes it. */
  take(diffId: Digest, target: Pick<ImageRef, "registry" | "repository">): EarlyUpload | undefined {
    if (target.registry !== this.#target.registry || target.repository !== this.#target.repository) return undefined;
    const upload = this.#uploads.get(diffId);
    this.#uploads.delete(diffId);
    return upload;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const left = [...this.#uploads.values()];
    this.#uploads.clear();
    await Promise.all(left.map((upload) => upload[Symbol.asyncDispose]()));
  }
}

/** One early upload. Disposing it stops the sending. */
export class EarlyUpload implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #streamed: Promise<StreamedBlob | undefined>;
  #isNamed = false;
  #sentBytes = 0;
  #onProgress: ((sentBytes: number) => void) | undefined;

  constructor(target: ImageRef, blob: GrowingBlob, client: () => Promise<RegistryClient>, signal: AbortSignal) {
    const inner = AbortSignal.any([signal, this.#stop.signal]);
    const send = async (): Promise<StreamedBlob | undefined> => {
      // A small blob has its digest before an upload would have begun.
      if (!(await blob.reaches(LEAST_SENT_BYTES, inner))) return undefined;
      return (await client()).streamBlob(target, (offsetBytes) => this.#metered(blob, offsetBytes, inner), inner);
    };
    // The ordinary upload meets the same failure again and reports it.
    this.#streamed = send().catch(() => undefined);
  }

  /**
   * Names the blob.
   * @returns whether the registry has the blob now
   */
  async finish(digest: Digest, onProgress: (sentBytes: number) => void, signal: AbortSignal): Promise<boolean> {
    this.#onProgress = onProgress;
    onProgress(this.#sentBytes);
    const streamed = await this.#streamed;
    signal.throwIfAborted();
    if (streamed === undefined) return false;
    try {
      await streamed.finish(digest, signal);
      this.#isNamed = true;
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("The upload is not needed"));
    const streamed = await this.#streamed;
    if (!this.#isNamed) await streamed?.cancel();
  }

  async *#metered(blob: GrowingBlob, offsetBytes: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    this.#sentBytes = offsetBytes;
    for await (const chunk of blob.read(offsetBytes, signal)) {
      yield chunk;
      this.#sentBytes += chunk.length;
      this.#onProgress?.(this.#sentBytes);
    }
  }
}
