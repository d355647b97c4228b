import type { Digest } from "../../lib/core/digest.ts";
import { type ImageRef, parseReference } from "../../lib/core/reference.ts";
import type { RegistryClient, StreamedBlob } from "../../lib/registry/registry.ts";
import type { GrowingBlob } from "../../lib/store/growing-blob.ts";
import type { ResultLayer } from "./exporter.ts";

/** Smaller layers are compressed before an upload would have begun. */
const LEAST_BYTES = 4 << 20;
/** Others are sent when their turn comes. */
const AT_ONCE = 4;

/**
 * Layers on their way to a registry while they are still compressed:
 *
 *     snapshot -> tar -> compressed -> file of the store -> (read again behind the writer) -> registry
 *
 * Nobody knows such a blob's digest before its end, so it is not known either whether the registry has it; when that turns out
 * to be so, the upload is left, and the registry throws it away. What fails here is sent in the ordinary way, from the store.
 */
export class EarlyUploads implements AsyncDisposable {
  readonly #to: ImageRef;
  readonly #client: () => Promise<RegistryClient>;
  readonly #uploads = new Map<Digest, EarlyUpload>();

  /** @param name the reference whose repository gets the blobs. */
  constructor(name: string, client: () => Promise<RegistryClient>) {
    this.#to = parseReference(name);
    this.#client = client;
  }

  /** Begins to send the blob of a layer. */
  begin(layer: ResultLayer, blob: GrowingBlob, signal: AbortSignal): void {
    const isWorthIt = (layer.tarSizeBytes ?? 0) >= LEAST_BYTES && this.#uploads.size < AT_ONCE;
    if (!isWorthIt || this.#uploads.has(layer.diffId)) return;
    this.#uploads.set(layer.diffId, new EarlyUpload(this.#to, blob, this.#client, signal));
  }

  /** Takes the upload of a layer out, if one is under way to this repository: it is the caller's to finish or dispose. */
  take(diffId: Digest, to: Pick<ImageRef, "registry" | "repository">): EarlyUpload | undefined {
    if (to.registry !== this.#to.registry || to.repository !== this.#to.repository) return undefined;
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

/** One blob on its way. Disposing it stops what is still being sent. */
export class EarlyUpload implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #streamed: Promise<StreamedBlob | undefined>;
  #sentBytes = 0;
  #onProgress: ((sentBytes: number) => void) | undefined;

  constructor(to: ImageRef, blob: GrowingBlob, client: () => Promise<RegistryClient>, signal: AbortSignal) {
    const inner = AbortSignal.any([signal, this.#stop.signal]);
    const send = async (): Promise<StreamedBlob> => (await client()).streamBlob(to, this.#metered(blob, inner), inner);
    // Whatever went wrong, the ordinary upload meets it again and says so.
    this.#streamed = send().catch(() => undefined);
  }

  /** @returns whether the registry has the blob now. */
  async finish(digest: Digest, onProgress: (sentBytes: number) => void, signal: AbortSignal): Promise<boolean> {
    this.#onProgress = onProgress;
    onProgress(this.#sentBytes);
    const streamed = await this.#streamed;
    signal.throwIfAborted();
    if (streamed === undefined) return false;
    try {
      await streamed.finish(digest, signal);
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("The upload is not needed"));
    await this.#streamed;
  }

  async *#metered(blob: GrowingBlob, signal: AbortSignal): AsyncGenerator<Buffer> {
    for await (const chunk of blob.read(signal)) {
      yield chunk;
      this.#sentBytes += chunk.length;
      this.#onProgress?.(this.#sentBytes);
    }
  }
}
