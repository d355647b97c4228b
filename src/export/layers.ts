import { Readable } from "node:stream";
import { type Digest, Digester } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import type { Compression, Descriptor } from "../../lib/core/oci.ts";
import type { Native } from "../../lib/native/native.ts";
import type { GrowingBlob } from "../../lib/store/growing-blob.ts";
import { LostLayerError } from "../../lib/store/lost-layer.ts";
import { builtLayerId, originOf } from "../../lib/store/snapshot-id.ts";
import type { LayerBlob, SnapshotId } from "../../lib/store/model.ts";
import type { Store } from "../../lib/store/store.ts";
import { compress } from "../../lib/tar/compress.ts";
import { decompress } from "../../lib/tar/compression.ts";
import type { Marks } from "../../lib/tar/marks.ts";
import { lendLayer, type LayerTar, type PackOptions } from "../../lib/tar/pack.ts";
import type { PackPool } from "../../lib/tar/pack-pool.ts";
import { type MediaTypeFamily, compressionOfMediaType, layerMediaType } from "./documents.ts";
import type { ReadableBlob, ResultLayer } from "./exporter.ts";

/** With what layers are found and made. */
export interface LayerSources {
  readonly store: Store;
  readonly native: Native;
  /** Measures a few layers at a time. */
  readonly packPool: PackPool;
  /** Where snapshots' directories are, and the form of the marks in them. */
  readonly snapshots: { pathOf(id: SnapshotId): string; readonly marks: Marks };
  /** Threads that compress one layer. */
  readonly processors: number;
  /** Downloads and unpacks what is absent. */
  materialize(snapshots: readonly SnapshotId[], signal: AbortSignal): Promise<void>;
  /** A blob's bytes from the repository that has it, checked on the way. */
  fetch(repository: string, blob: Descriptor, signal: AbortSignal): Promise<Readable>;
  /** Given the blob of a layer that has to be compressed, before its first byte is there. */
  readonly onCompress?: (layer: ResultLayer, blob: GrowingBlob) => void;
}

/** In which form an exporter wants layers. */
export interface LayerForm {
  readonly family: MediaTypeFamily;
  /** `undefined`: base layers as they are, others as gzip. */
  readonly compression: Compression | undefined;
  readonly level: number | undefined;
  /** Also base layers must have that form. */
  readonly force: boolean;
}

/** One layer in one form: its diffID, its blob (media type, digest and size), where the bytes are, and the bytes. */
export interface Layer extends LayerBlob, ReadableBlob {}

/**
 * Finds or makes layers in the form an exporter wants. A layer is compressed once per form; the compressed blob stays
 * in the store and is found by its row the next time.
 */
export async function layerContent(
  layer: ResultLayer,
  form: LayerForm,
  on: LayerSources,
  signal: AbortSignal,
): Promise<Layer> {
  const blobs = on.store.snapshots.layerBlobs(layer.diffId);
  if (layer.origin === "base" && !form.force) {
    const own = blobs.find(({ descriptor }) => descriptor.digest === layer.blob);
    const kept = own ?? blobs.find((blob) => fits(blob, undefined)) ?? blobs[0];
    if (kept !== undefined) return blobContent(kept, on);
  }
  const compression = form.compression ?? "gzip";
  if (compression === "uncompressed") return plainContent(layer, form.family, on, signal);
  // Files that are elsewhere only need not come here to be made into the blob that is there. Of blobs that are here only the one
  // that the layer's own image names is taken for the layer: any image may claim another's. What was made here, `compressLayer` knows.
  const isElsewhere = hasTar(layer) && on.store.snapshots.get(layer.snapshot)?.state !== "present";
  const isTaken = (blob: LayerBlob): boolean =>
    blob.descriptor.digest === layer.blob
      ? isHere(blob, on) || isElsewhere
      : isElsewhere && blob.repository !== undefined;
  const known = form.level === undefined ? blobs.find((blob) => fits(blob, compression) && isTaken(blob)) : undefined;
  if (known !== undefined) return blobContent(known, on);
  return blobContent(await compressLayer(layer, compression, form, on, signal), on);
}

/** The layer's uncompressed tar, checked against its diffID at the end. Each chunk is valid until the next one is asked for. */
async function layerTar(layer: ResultLayer, on: LayerSources, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  if (on.store.blobs.has(layer.diffId)) return on.store.blobs.open(layer.diffId);
  const row = on.store.snapshots.get(layer.snapshot);
  if (row?.state !== "present" || hasTar(layer)) {
    // A compressed copy gives the tar without unpacking it into files first, and a tar of somebody else's making comes
    // out byte for byte only of its own blob.
    const blob = on.store.snapshots.layerBlobs(layer.diffId)[0];
    const kind = blob === undefined ? undefined : compressionOfMediaType(blob.descriptor.mediaType);
    if (blob !== undefined && kind !== undefined) {
      const content = blobContent(blob, on);
      const bytes = content.open(signal);
      return checked(kind === "uncompressed" ? bytes : decompress(bytes, kind, signal), layer.diffId);
    }
    await on.materialize([layer.snapshot], signal);
  }
  return packed(lendLayer(on.native, packOptions(layer, on), signal), layer.diffId);
}

async function plainContent(
  layer: ResultLayer,
  family: MediaTypeFamily,
  on: LayerSources,
  signal: AbortSignal,
): Promise<Layer> {
  const size = layer.tarSizeBytes ?? on.store.blobs.sizeOf(layer.diffId) ?? (await measure(layer, on, signal));
  return {
    diffId: layer.diffId,
    repository: undefined,
    descriptor: { mediaType: layerMediaType(family, "uncompressed"), digest: layer.diffId, size },
    open: (openSignal) => readable(copied(deferred(() => layerTar(layer, on, openSignal)))),
  };
}

async function compressLayer(
  layer: ResultLayer,
  compression: "gzip" | "zstd",
  form: LayerForm,
  on: LayerSources,
  signal: AbortSignal,
): Promise<LayerBlob> {
  // Two exporters, or two processes, that want the same form of one layer compress it once.
  using lease = await on.store.leases.acquire(`compress ${layer.diffId} ${compression} ${form.level ?? ""}`, signal);
  const factKey = `${layer.diffId} ${compression} ${form.level ?? "default"}`;
  const fact = on.store.facts.get("compressed-layer", factKey);
  const before = fact?.blobs[0];
  if (before !== undefined && on.store.blobs.has(before)) {
    const found = on.store.snapshots.layerBlobs(layer.diffId).find((blob) => blob.descriptor.digest === before);
    if (found !== undefined && (lease.waited || isHere(found, on))) return found;
  }
  const tar = await layerTar(layer, on, signal);
  const level = form.level === undefined ? {} : { level: form.level };
  const bytes = compress(tar, { kind: compression, parallel: on.processors, ...level }, signal);
  const written = await on.store.blobs.write(bytes, { onStart: (blob) => on.onCompress?.(layer, blob) }, signal);
  const blob: LayerBlob = {
    diffId: layer.diffId,
    descriptor: { mediaType: layerMediaType("oci", compression), ...written },
    repository: undefined,
  };
  on.store.snapshots.addLayerBlob(blob);
  on.store.facts.set("compressed-layer", factKey, { value: new Uint8Array(), blobs: [written.digest] });
  return blob;
}

function blobContent(blob: LayerBlob, on: LayerSources): Layer {
  const here = isHere(blob, on);
  const repository = here ? undefined : blob.repository;
  return {
    diffId: blob.diffId,
    repository,
    descriptor: blob.descriptor,
    open: (signal) => {
      if (here) return on.store.blobs.open(blob.descriptor.digest);
      if (repository === undefined) {
        throw new BuildError("store/corrupt", `Cannot read layer ${blob.descriptor.digest}: its blob is gone`, {
          hint: "run `kiln fsck --repair`",
        });
      }
      const fetch = async (): Promise<Readable> => {
        try {
          return await on.fetch(repository, blob.descriptor, signal);
        } catch (error) {
          throw error instanceof BuildError ? new LostLayerError(builtLayerId(blob.diffId), error) : error;
        }
      };
      return readable(deferred(fetch));
    },
  };
}

/** The layer with the times of its files clamped to seconds since the epoch. Costs one more pass over it. */
export async function clampedLayer(
  layer: ResultLayer,
  latestMtime: number,
  on: LayerSources,
  signal: AbortSignal,
): Promise<ResultLayer> {
  const clamped = { ...layer, latestMtime };
  const { diffId, sizeBytes } = await on.packPool.measure(packOptions(clamped, on), signal);
  return { ...clamped, diffId, tarSizeBytes: sizeBytes };
}

function packOptions({ snapshot, latestMtime }: ResultLayer, { snapshots }: LayerSources): PackOptions {
  const clamp = latestMtime === undefined ? {} : { clampMtimeSeconds: latestMtime };
  return { directory: snapshots.pathOf(snapshot), marks: snapshots.marks, ...clamp };
}

/** Whether the layer's files came out of a tar, whose exact bytes they do not tell. */
function hasTar({ snapshot }: ResultLayer): boolean {
  return originOf(snapshot) !== "step";
}

function isHere(blob: LayerBlob, on: Pick<LayerSources, "store">): boolean {
  return on.store.blobs.has(blob.descriptor.digest);
}

/** `undefined` as the wanted compression takes any known one. */
function fits(blob: LayerBlob, compression: Compression | undefined): boolean {
  const own = compressionOfMediaType(blob.descriptor.mediaType);
  return compression === undefined ? own !== undefined : own === compression;
}

async function measure(layer: ResultLayer, on: LayerSources, signal: AbortSignal): Promise<number> {
  let size = 0;
  for await (const chunk of await layerTar(layer, on, signal)) size += chunk.byteLength;
  return size;
}

/** Fails at the end when the bytes were not those of the digest. */
async function* checked(bytes: AsyncIterable<Uint8Array>, expected: Digest): AsyncGenerator<Uint8Array, void> {
  const digester = new Digester();
  for await (const chunk of bytes) {
    digester.update(chunk);
    yield chunk;
  }
  expectDigest(digester.digest(), expected);
}

/** The same where whoever makes the bytes digests them. */
async function* packed(bytes: AsyncGenerator<Buffer, LayerTar>, expected: Digest): AsyncGenerator<Buffer, void> {
  const { diffId } = yield* bytes;
  expectDigest(diffId, expected);
}

function expectDigest(digest: Digest, expected: Digest): void {
  if (digest === expected) return;
  throw new BuildError("digest/mismatch", `Cannot make layer ${expected} again: its files now give ${digest}`, {
    hint: "run `kiln fsck` to see what changed in the store",
  });
}

/** Bytes whose source is only known after waiting. Not asked for before somebody reads. */
async function* deferred(open: () => Promise<AsyncIterable<Uint8Array>>): AsyncGenerator<Uint8Array, void> {
  yield* await open();
}

/** Streams ask for the next chunk while the last one still waits for its reader. */
async function* copied(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of bytes) yield Buffer.from(chunk);
}

function readable(bytes: AsyncIterable<Uint8Array>): Readable {
  return Readable.from(bytes, { objectMode: false });
}
