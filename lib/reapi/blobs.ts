import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { type Digest, Digester, digestFromHex, digestOf, hexOf, isDigest } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { mapLimit } from "../core/limits.ts";
import type { Channel } from "./channel.ts";
import { CallError, clusterFailure, CODES } from "./failure.ts";
import { type BlobDigest, METHODS, type RpcStatus, SHA256 } from "./protocol.ts";

/** A blob by its digest and size. */
export interface BlobName {
  readonly digest: Digest;
  readonly size: number;
}

/** A blob that can be sent. */
export interface Blob extends BlobName {
  /** Opens the bytes, once for each attempt. */
  open(signal: AbortSignal): AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>;
}

/** Limits and features of a server's storage. */
export interface StorageLimits {
  readonly batchBytes: number;
  readonly hasZstd: boolean;
}

/** Blobs that are asked for in one call. */
const ASKED_AT_ONCE = 5000;
/** Limit of concurrent transfers. */
const TRANSFERS = 8;
/** Size of one message of a stream. */
const CHUNK_BYTES = 1 << 20;
/** Room in a batch for what stands around the bytes. */
const OVERHEAD_BYTES = 200;
/** Blobs of less gain nothing by compression. */
const LEAST_COMPRESSED_BYTES = 16 << 10;

/** A hundred megabits a second. */
const USUAL_BYTES_PER_MS = 12_500;
/** Blobs of less tell of the way, not of its width. */
const LEAST_TIMED_BYTES = 1 << 20;

/** Counts of bytes that crossed the network. */
export interface Traffic {
  sentBytes: number;
  receivedBytes: number;
}

/** The storage of a cluster. Every byte from it is checked: others write to it too. */
export class Blobs {
  readonly traffic: Traffic = { sentBytes: 0, receivedBytes: 0 };
  /** Speed of large transfers, as seen of late. */
  bytesPerMs = USUAL_BYTES_PER_MS;
  readonly #channel: Channel;
  readonly #limits: (signal: AbortSignal) => Promise<StorageLimits>;

  constructor(channel: Channel, limits: (signal: AbortSignal) => Promise<StorageLimits>) {
    this.#channel = channel;
    this.#limits = limits;
  }

  /** Lists the blobs that the storage has not, and keeps it from removing the others for a while. */
  async missing<B extends BlobName>(blobs: readonly B[], signal: AbortSignal): Promise<readonly B[]> {
    const byDigest = new Map(blobs.map((blob) => [blob.digest, blob]));
    const all = [...byDigest.values()];
    const batches = Array.from({ length: Math.ceil(all.length / ASKED_AT_ONCE) }, (_, index) =>
      all.slice(index * ASKED_AT_ONCE, (index + 1) * ASKED_AT_ONCE),
    );
    const found = await mapLimit(batches, 2, signal, async (batch, inner) => {
      const request = { ...this.#named(), blobDigests: batch.map(toBlobDigest) };
      const doing = "ask which blobs are missing";
      const { missingBlobDigests } = await this.#channel.ask(METHODS.findMissingBlobs, request, doing, inner);
      return missingBlobDigests.flatMap(({ hash }) => byDigest.get(digestFromHash(hash)) ?? []);
    });
    return found.flat();
  }

  /** Sends blobs that the storage has not. */
  async send(blobs: readonly Blob[], signal: AbortSignal): Promise<void> {
    const { batchBytes } = await this.#limits(signal);
    const isSmall = ({ size }: Blob): boolean => size + OVERHEAD_BYTES <= batchBytes / 4;
    const batches = batched(blobs.filter(isSmall), batchBytes);
    const large = blobs.filter((blob) => !isSmall(blob));
    const work = [
      ...batches.map((batch) => (inner: AbortSignal) => this.#sendBatch(batch, inner)),
      ...large.map((blob) => (inner: AbortSignal) => this.#sendLarge(blob, inner)),
    ];
    await mapLimit(work, TRANSFERS, signal, async (one, inner) => one(inner));
  }

  /**
   * Reads small blobs whole, in the order of their names.
   * @throws {BuildError} `digest/mismatch`
   * @throws {MissingBlobError}
   */
  async readSmall(names: readonly BlobName[], signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const { batchBytes } = await this.#limits(signal);
    const found = new Map<Digest, Uint8Array>();
    const wanted = [...new Map(names.map((name) => [name.digest, name])).values()].filter(({ size }) => size > 0);
    const isSmall = ({ size }: BlobName): boolean => size + OVERHEAD_BYTES <= batchBytes / 4;
    await mapLimit(batched(wanted.filter(isSmall), batchBytes), TRANSFERS, signal, async (batch, inner) => {
      for (const [digest, data] of await this.#readBatch(batch, inner)) found.set(digest, data);
    });
    for (const name of wanted.filter((one) => !isSmall(one)))
      found.set(name.digest, await this.#readWhole(name, signal));
    return names.map((name) => found.get(name.digest) ?? new Uint8Array());
  }

  /**
   * Opens a blob from an offset on. A broken stream is continued where it broke; at the end its digest is checked.
   * @throws {MissingBlobError} in the stream
   */
  open(
    name: BlobName,
    from: { readonly offsetBytes: number; readonly check: "digest" | "none" },
    signal: AbortSignal,
  ): Readable {
    const bytes = this.#resumed(name, from.offsetBytes, signal);
    const isChecked = from.check === "digest" && from.offsetBytes === 0;
    return Readable.from(isChecked ? this.#checked(bytes, name) : bytes, { objectMode: false });
  }

  async #sendBatch(batch: readonly Blob[], signal: AbortSignal): Promise<void> {
    let left = batch;
    await this.#channel.retrying("send blobs", signal, async () => {
      const requests = await Promise.all(
        left.map(async (blob) => ({ digest: toBlobDigest(blob), data: await wholeOf(blob, signal) })),
      );
      const request = { ...this.#named(), requests };
      const { responses } = await this.#channel.askOnce(METHODS.batchUpdateBlobs, request, signal);
      for (const { data } of requests) this.traffic.sentBytes += data.byteLength;
      const refused = responses.filter(({ status }) => isFailure(status));
      const names = new Set(refused.map(({ digest }) => digest?.hash));
      left = left.filter(({ digest }) => names.has(hexOf(digest)));
      const [first] = refused;
      if (first?.status !== undefined) throw new CallError(first.status.code, first.status.message);
    });
  }

  async #sendLarge(blob: Blob, signal: AbortSignal): Promise<void> {
    const { hasZstd } = await this.#limits(signal);
    const id = randomUUID();
    const startedMs = performance.now();
    await this.#channel.retrying(`send blob ${shortName(blob)}`, signal, async (attempt) => {
      // A compressed stream cannot be continued: its bytes are made anew. The second attempt is a plain one.
      const isCompressed = hasZstd && attempt === 0 && blob.size >= LEAST_COMPRESSED_BYTES;
      const suffix = `${hexOf(blob.digest)}/${blob.size}`;
      const form = isCompressed ? `compressed-blobs/zstd/${suffix}` : `blobs/${suffix}`;
      const resourceName = this.#resource(`uploads/${isCompressed ? randomUUID() : id}/${form}`);
      const committed = isCompressed || attempt === 0 ? 0 : await this.#committed(resourceName, signal);
      if (committed >= blob.size && blob.size > 0) return;
      const source = await blob.open(signal);
      const bytes = isCompressed ? compressed(source, signal) : without(source, committed);
      await this.#write(resourceName, bytes, committed, signal);
    });
    if (blob.size >= LEAST_TIMED_BYTES) {
      const speed = blob.size / Math.max(1, performance.now() - startedMs);
      this.bytesPerMs += (speed - this.bytesPerMs) / 2;
    }
  }

  async #write(
    resourceName: string,
    bytes: AsyncIterable<Uint8Array>,
    offset: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { traffic } = this;
    const requests = async function* (): AsyncGenerator<{
      readonly resourceName?: string;
      readonly writeOffset: number;
      readonly data?: Uint8Array;
      readonly finishWrite?: boolean;
    }> {
      let writeOffset = offset;
      let name: { readonly resourceName?: string } = { resourceName };
      for await (const data of chunked(bytes)) {
        yield { ...name, writeOffset, data };
        name = {};
        writeOffset += data.byteLength;
        traffic.sentBytes += data.byteLength;
      }
      yield { ...name, writeOffset, finishWrite: true };
    };
    await this.#channel.send(METHODS.write, requests(), signal);
  }

  /** Asks how much of an interrupted transfer has arrived. A server that knows nothing of it has nothing. */
  async #committed(resourceName: string, signal: AbortSignal): Promise<number> {
    try {
      return (await this.#channel.askOnce(METHODS.queryWriteStatus, { resourceName }, signal)).committedSize;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof CallError && (error.code === CODES.notFound || error.code === CODES.unimplemented)) return 0;
      throw error;
    }
  }

  async #readBatch(names: readonly BlobName[], signal: AbortSignal): Promise<ReadonlyMap<Digest, Uint8Array>> {
    const found = new Map<Digest, Uint8Array>();
    await this.#channel.retrying("read blobs", signal, async () => {
      const left = names.filter(({ digest }) => !found.has(digest));
      const request = { ...this.#named(), digests: left.map(toBlobDigest) };
      const { responses } = await this.#channel.askOnce(METHODS.batchReadBlobs, request, signal);
      for (const { digest, data, status } of responses) {
        const name = left.find((one) => hexOf(one.digest) === digest?.hash);
        if (name === undefined) continue;
        if (isFailure(status)) throw readFailure(name, new CallError(status.code, status.message));
        this.traffic.receivedBytes += data.byteLength;
        if (digestOf(data) !== name.digest) throw this.#mismatch(name, digestOf(data));
        found.set(name.digest, data);
      }
      const lost = names.find(({ digest }) => !found.has(digest));
      if (lost !== undefined) throw readFailure(lost, new CallError(CODES.notFound, "the server did not send it"));
    });
    return found;
  }

  async #readWhole(name: BlobName, signal: AbortSignal): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#checked(this.#resumed(name, 0, signal), name)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Yields a blob's bytes from an offset on, beginning again where a stream broke. */
  async *#resumed(name: BlobName, offsetBytes: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
    let at = offsetBytes;
    const { hasZstd } = await this.#limits(signal);
    let failures = 0;
    while (at < name.size) {
      const before = at;
      try {
        const isCompressed = hasZstd && name.size - at >= LEAST_COMPRESSED_BYTES;
        for await (const data of this.#readFrom(name, at, isCompressed, signal)) {
          at += data.byteLength;
          // More than its size would fill a disk before the digest says so.
          if (at > name.size) throw this.#mismatch(name, undefined);
          yield data;
        }
        if (at < name.size) throw new CallError(CODES.unavailable, "the stream ended early");
      } catch (error) {
        signal.throwIfAborted();
        const failure = error instanceof CallError ? readFailure(name, error) : error;
        if (!(failure instanceof CallError)) throw failure;
        failures = at > before ? 0 : failures + 1;
        if (failures > MAX_FAILURES)
          throw clusterFailure(failure, `read blob ${shortName(name)}`, this.#channel.place.url);
        await this.#channel.pause(failures, signal);
      }
    }
  }

  async *#readFrom(
    { digest, size }: BlobName,
    readOffset: number,
    isCompressed: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void> {
    const form = isCompressed ? "compressed-blobs/zstd" : "blobs";
    const resourceName = this.#resource(`${form}/${hexOf(digest)}/${size}`);
    const answers = this.#channel.listen(METHODS.read, { resourceName, readOffset }, signal);
    const { traffic } = this;
    const bytes = async function* (): AsyncGenerator<Uint8Array, void> {
      for await (const { data } of answers) {
        traffic.receivedBytes += data.byteLength;
        yield data;
      }
    };
    yield* isCompressed ? decompressed(bytes()) : bytes();
  }

  async *#checked(bytes: AsyncIterable<Uint8Array>, name: BlobName): AsyncGenerator<Uint8Array, void> {
    const digester = new Digester();
    for await (const chunk of bytes) {
      digester.update(chunk);
      yield chunk;
    }
    const found = digester.digest();
    if (found !== name.digest) throw this.#mismatch(name, found);
  }

  #mismatch(name: BlobName, found: Digest | undefined): BuildError {
    const what = found === undefined ? "more bytes than it has" : `bytes with digest ${found}`;
    return new BuildError(
      "digest/mismatch",
      `Cannot use blob ${name.digest}: ${JSON.stringify(this.#channel.place.url)} sent ${what}`,
      { hint: "the cluster's storage is damaged, or is not to be trusted" },
    );
  }

  #named(): { readonly instanceName: string; readonly digestFunction: number } {
    return { instanceName: this.#channel.place.instance, digestFunction: SHA256 };
  }

  #resource(path: string): string {
    const { instance } = this.#channel.place;
    return instance === "" ? path : `${instance}/${path}`;
  }
}

/** Failures without progress after which a blob is given up. */
const MAX_FAILURES = 8;

/** A blob that was evicted or lost, or never there. */
export class MissingBlobError extends BuildError {
  readonly blob: Digest;

  constructor(name: BlobName, why: string) {
    super("remote/failed", `The cluster's storage has lost blob ${name.digest}: ${why}`, {
      hint: "it may be too small for what is built: its blobs must stay for the time of a build",
    });
    this.blob = name.digest;
  }
}

function readFailure(name: BlobName, error: CallError): CallError | MissingBlobError {
  return error.code === CODES.notFound ? new MissingBlobError(name, error.message) : error;
}

function isFailure(status: RpcStatus | undefined): status is RpcStatus {
  return status !== undefined && status.code !== CODES.ok;
}

/** Cuts a list of blobs into batches that fit into one message each. */
function batched<B extends BlobName>(blobs: readonly B[], batchBytes: number): readonly B[][] {
  const batches: B[][] = [];
  let room = 0;
  for (const blob of blobs) {
    const needs = blob.size + OVERHEAD_BYTES;
    if (needs > room) {
      batches.push([]);
      room = batchBytes;
    }
    batches.at(-1)?.push(blob);
    room -= needs;
  }
  return batches;
}

async function wholeOf(blob: Blob, signal: AbortSignal): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await blob.open(signal)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** Yields bytes in pieces that are one message each, as copies: a message is sent after the next piece was asked for. */
async function* chunked(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let held: Buffer[] = [];
  let size = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.byteLength; at += CHUNK_BYTES) {
      const piece = Buffer.from(chunk.subarray(at, at + CHUNK_BYTES));
      held.push(piece);
      size += piece.byteLength;
      if (size < CHUNK_BYTES / 2) continue;
      yield Buffer.concat(held);
      held = [];
      size = 0;
    }
  }
  if (size > 0) yield Buffer.concat(held);
}

async function* without(source: AsyncIterable<Uint8Array>, skipBytes: number): AsyncGenerator<Uint8Array, void> {
  let left = skipBytes;
  for await (const chunk of source) {
    if (left < chunk.byteLength) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.byteLength);
  }
}

async function* copies(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of source) yield Buffer.from(chunk);
}

function compressed(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const packer = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  const plain = Readable.from(copies(source), { objectMode: false });
  plain.once("error", (error: Error) => packer.destroy(error));
  signal.addEventListener("abort", () => plain.destroy(), { once: true });
  return plain.pipe(packer);
}

function decompressed(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const unpacker = createZstdDecompress();
  const packed = Readable.from(source, { objectMode: false });
  packed.once("error", (error: Error) => unpacker.destroy(error));
  return packed.pipe(unpacker);
}

/** The name of a blob in messages, short. */
function shortName({ digest, size }: BlobName): string {
  return `${hexOf(digest).slice(0, 12)} of ${size} bytes`;
}

export function toBlobDigest({ digest, size }: BlobName): BlobDigest {
  return { hash: hexOf(digest), sizeBytes: size };
}

/**
 * Reads the name of a blob in a server's answer.
 * @throws {BuildError} `digest/malformed`
 */
export function fromBlobDigest(blob: BlobDigest | undefined): BlobName {
  return { digest: digestFromHash(blob?.hash ?? ""), size: blob?.sizeBytes ?? 0 };
}

function digestFromHash(hash: string): Digest {
  const text = `sha256:${hash}`;
  return isDigest(text) ? text : digestFromHex(hash);
}

/** Makes the blob of a small document. */
export function documentBlob(data: Uint8Array): Blob {
  return { digest: digestOf(data), size: data.byteLength, open: () => Readable.from([data]) };
}
