import { Readable } from "node:stream";
import { type Digest, Digester, isDigest } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import type { Compression, Descriptor } from "../../lib/core/oci.ts";
import type { Native } from "../../lib/native/native.ts";
import type { GrowingBlob } from "../../lib/store/growing-blob.ts";
import { LostLayerError } from "../../lib/store/lost-layer.ts";
import { builtLayerId, originOf } from "../../lib/store/snapshot-id.ts";
import type { LayerBlob, SnapshotId } from "../../lib/store/model.ts";
import type { NewSnapshot, Store, WrittenBlob } from "../../lib/store/store.ts";
import { compress, DEFAULT_LEVELS } from "../../lib/tar/compress.ts";
import { decompress } from "../../lib/tar/compression.ts";
import type { Marks } from "../../lib/tar/marks.ts";
import { lendLayer, type LayerTar, type PackOptions } from "../../lib/tar/pack.ts";
import type { PackPool } from "../../lib/tar/pack-pool.ts";
import { type MediaTypeFamily, compressionOfMediaType, layerMediaType } from "./documents.ts";
import type { ReadableBlob, ResultLayer } from "./exporter.ts";
import type { ImageOptions } from "./output-spec.ts";

/** Dependencies for finding or building layers. */
export interface LayerSources {
  readonly store: Store;
  readonly native: Native;
  /** Threads that measure a few layers concurrently. */
  readonly packPool: PackPool;
  /** The snapshots' directories, and the form of the marks in them. */
  readonly snapshots: { pathOf(id: SnapshotId): string; readonly marks: Marks };
  /** Number of threads that compress one layer. */
  readonly processors: number;
  /** Downloads and unpacks absent layers. */
  materialize(snapshots: readonly SnapshotId[], signal: AbortSignal): Promise<void>;
  /** Opens a blob from its repository; its bytes are checked. */
  fetch(repository: string, blob: Descriptor, signal: AbortSignal): Promise<Readable>;
  /** Receives the blob of a layer that is to be compressed, before its first byte. */
  readonly onCompress?: (layer: ResultLayer, blob: GrowingBlob) => void;
}

/** The form in which an exporter needs layers. */
export interface LayerForm {
  readonly family: MediaTypeFamily;
  /** `undefined`: base layers as they are, others as gzip. */
  readonly compression: Compression | undefined;
  readonly level: number | undefined;
  /** True when base layers must have that form too. */
  readonly force: boolean;
}

/** Returns the form that an image's options ask for. */
export function formOf(options: ImageOptions): LayerForm {
  return {
    family: options.mediaTypes,
    compression: options.compression,
    level: options.compressionLevel,
    force: options.forceCompression,
  };
}

/** One layer in one form: its diffID, its blob (media type, digest and size), its repositories, and its bytes. */
export interface Layer extends LayerBlob, ReadableBlob {
  /** Opens the bytes from an offset on, where that costs less than reading them all. */
  readonly openAt?: (this: void, offsetBytes: number) => Readable;
}

/**
 * Finds or makes a layer in the form that an exporter needs. A layer is compressed once per form; the compressed blob
 * stays in the store, and its row finds it the next time.
 */
export async function layerContent(
  layer: ResultLayer,
  form: LayerForm,
  deps: LayerSources,
  signal: AbortSignal,
): Promise<Layer> {
  const blobs = deps.store.snapshots.layerBlobs(layer.diffId);
  if (layer.origin === "base" && !form.force) {
    const own = blobs.find(({ descriptor }) => descriptor.digest === layer.blob);
    const kept = own ?? blobs.find((blob) => fits(blob, undefined)) ?? blobs[0];
    if (kept !== undefined) return blobContent(kept, deps);
  }
  const compression = form.compression ?? "gzip";
  if (compression === "uncompressed") return plainContent(layer, form.family, deps, signal);
  // Absent files are not fetched to make a blob that exists elsewhere. Of local blobs only the one in the layer's own
  // image counts as the layer, because any image may claim another's. `compressLayer` knows the blobs made here.
  const isElsewhere = hasTar(layer) && deps.store.snapshots.get(layer.snapshot)?.state !== "present";
  const isTaken = (blob: LayerBlob): boolean =>
    blob.descriptor.digest === layer.blob
      ? isHere(blob, deps) || isElsewhere
      : isElsewhere && blob.repository !== undefined;
  const known = form.level === undefined ? blobs.find((blob) => fits(blob, compression) && isTaken(blob)) : undefined;
  if (known !== undefined) return blobContent(known, deps);
  return blobContent(await compressLayer(layer, compression, form, deps, signal), deps);
}

/**
 * Opens the layer's uncompressed tar; its diffID is checked at the end. Each chunk is valid until the next one is
 * requested.
 */
export async function layerTar(
  layer: ResultLayer,
  deps: LayerSources,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  if (deps.store.blobs.has(layer.diffId)) return deps.store.blobs.open(layer.diffId);
  const row = deps.store.snapshots.get(layer.snapshot);
  if (row?.state !== "present" || hasTar(layer)) {
    // A compressed copy gives the tar without unpacking it into files first, and only its own blob gives another
    // writer's tar byte for byte.
    const blob = deps.store.snapshots.layerBlobs(layer.diffId)[0];
    const kind = blob === undefined ? undefined : compressionOfMediaType(blob.descriptor.mediaType);
    if (blob !== undefined && kind !== undefined) {
      const content = blobContent(blob, deps);
      const bytes = content.open(signal);
      return checked(kind === "uncompressed" ? bytes : decompress(bytes, kind, signal), layer.diffId);
    }
    await deps.materialize([layer.snapshot], signal);
  }
  return packed(lendLayer(deps.native, packOptions(layer, deps), signal), layer.diffId);
}

async function plainContent(
  layer: ResultLayer,
  family: MediaTypeFamily,
  deps: LayerSources,
  signal: AbortSignal,
): Promise<Layer> {
  const size = layer.tarSizeBytes ?? deps.store.blobs.sizeOf(layer.diffId) ?? (await measure(layer, deps, signal));
  return {
    diffId: layer.diffId,
    repository: undefined,
    descriptor: { mediaType: layerMediaType(family, "uncompressed"), digest: layer.diffId, size },
    open: (openSignal) => readable(copied(deferred(() => layerTar(layer, deps, openSignal)))),
  };
}

async function compressLayer(
  layer: ResultLayer,
  compression: "gzip" | "zstd",
  form: LayerForm,
  deps: LayerSources,
  signal: AbortSignal,
): Promise<LayerBlob> {
  // Two exporters, or two processes, that need the same form of one layer compress it once.
  using lease = await deps.store.leases.acquire(`compress ${layer.diffId} ${compression} ${form.level ?? ""}`, signal);
  const fact = deps.store.facts.get("compressed-layer", factKeyOf(layer.diffId, compression, form.level));
  const before = fact?.blobs[0];
  if (before !== undefined && deps.store.blobs.has(before)) {
    const found = deps.store.snapshots.layerBlobs(layer.diffId).find((blob) => blob.descriptor.digest === before);
    if (found !== undefined && (lease.waited || isHere(found, deps))) return found;
  }
  const tar = await layerTar(layer, deps, signal);
  const onStart = (growing: GrowingBlob): void => deps.onCompress?.(layer, growing);
  const written = await writeCompressed(tar, { ...form, compression }, { ...deps, onStart }, signal);
  return keepCompressed(layer.diffId, written, { ...form, compression }, deps);
}

/** The form of a layer that is compressed. */
export type CompressedForm = Pick<LayerForm, "level"> & { readonly compression: "gzip" | "zstd" };

/** Compresses a tar into a blob of the store. */
export async function writeCompressed(
  tar: AsyncIterable<Uint8Array>,
  { compression, level }: CompressedForm,
  deps: Pick<LayerSources, "store" | "processors"> & { readonly onStart: (blob: GrowingBlob) => void },
  signal: AbortSignal,
): Promise<WrittenBlob> {
  const options = { kind: compression, parallel: deps.processors, ...(level === undefined ? {} : { level }) };
  return deps.store.blobs.write(compress(tar, options, signal), { onStart: deps.onStart }, signal);
}

/** Notes a blob as the layer's in that form: the next export finds it. */
export function keepCompressed(
  diffId: Digest,
  written: WrittenBlob,
  { compression, level }: CompressedForm,
  { store }: Pick<LayerSources, "store">,
): LayerBlob {
  const descriptor = { mediaType: layerMediaType("oci", compression), ...written };
  const blob: LayerBlob = { diffId, descriptor, repository: undefined };
  store.snapshots.addLayerBlob(blob);
  const value = { value: new Uint8Array(), blobs: [written.digest] };
  store.facts.set("compressed-layer", factKeyOf(diffId, compression, level), value);
  return blob;
}

function factKeyOf(diffId: Digest, compression: "gzip" | "zstd", level: number | undefined): string {
  // The default is named by its number: after a change of it, blobs of before are not the ones that are wanted.
  return `${diffId} ${compression} ${level ?? `default ${DEFAULT_LEVELS[compression]}`}`;
}

export function blobContent(blob: LayerBlob, deps: LayerSources): Layer {
  const here = isHere(blob, deps);
  const repository = here ? undefined : blob.repository;
  return {
    diffId: blob.diffId,
    repository,
    descriptor: blob.descriptor,
    ...(here ? { openAt: (offsetBytes) => deps.store.blobs.open(blob.descriptor.digest, { offsetBytes }) } : {}),
    open: (signal) => {
      if (here) return deps.store.blobs.open(blob.descriptor.digest);
      if (repository === undefined) {
        throw new BuildError("store/corrupt", `Cannot read layer ${blob.descriptor.digest}: its blob is gone`, {
          hint: "run `kiln fsck --repair`",
        });
      }
      const fetch = async (): Promise<Readable> => {
        try {
          return await deps.fetch(repository, blob.descriptor, signal);
        } catch (error) {
          throw error instanceof BuildError ? new LostLayerError(builtLayerId(blob.diffId), error) : error;
        }
      };
      return readable(deferred(fetch));
    },
  };
}

/**
 * Makes the layer with its files' times clamped to seconds since the epoch; the layer itself where no time is later. It
 * takes one more pass over the layer, once for each date.
 */
export async function clampedLayer(
  layer: ResultLayer,
  latestMtime: number,
  deps: LayerSources,
  signal: AbortSignal,
): Promise<ResultLayer> {
  const factKey = `${layer.diffId} ${latestMtime}`;
  const [digest = "", size] = new TextDecoder()
    .decode(deps.store.facts.get("clamped-layer", factKey)?.value)
    .split(" ");
  const clamped = { ...layer, latestMtime };
  if (isDigest(digest))
    return digest === layer.diffId ? layer : { ...clamped, diffId: digest, tarSizeBytes: Number(size) };
  if (deps.store.snapshots.get(layer.snapshot)?.state !== "present") await deps.materialize([layer.snapshot], signal);
  const { diffId, sizeBytes } = await deps.packPool.measure(packOptions(clamped, deps), signal);
  deps.store.facts.set("clamped-layer", factKey, { value: new TextEncoder().encode(`${diffId} ${sizeBytes}`) });
  return diffId === layer.diffId ? layer : { ...clamped, diffId, tarSizeBytes: sizeBytes };
}

/** A clamped layer in the store: its row, and its tar as a blob. */
export interface KeptLayer {
  readonly layer: ResultLayer;
  readonly row: NewSnapshot;
  readonly blob: LayerBlob;
}

/**
 * Writes a clamped layer's tar into the store. The files of its snapshot have other times than the tar, so the image
 * gets a snapshot of its own, which stays absent until its files are needed.
 */
export async function keepClamped(layer: ResultLayer, deps: LayerSources, signal: AbortSignal): Promise<KeptLayer> {
  const { diffId } = layer;
  using _lease = await deps.store.leases.acquire(`keep ${diffId}`, signal);
  const size = deps.store.blobs.sizeOf(diffId) ?? (await writeTar(layer, deps, signal));
  const id = builtLayerId(diffId);
  return {
    layer: { diffId, tarSizeBytes: size, snapshot: id, origin: "built" },
    // All times count: they are those of the tar.
    row: { id, state: "absent", diffId, tarSizeBytes: size, runs: [] },
    blob: {
      diffId,
      descriptor: { mediaType: layerMediaType("oci", "uncompressed"), digest: diffId, size },
      repository: undefined,
    },
  };
}

async function writeTar(layer: ResultLayer, deps: LayerSources, signal: AbortSignal): Promise<number> {
  const { size } = await deps.store.blobs.write(copied(await layerTar(layer, deps, signal)), {}, signal);
  return size;
}

function packOptions({ snapshot, latestMtime }: ResultLayer, { snapshots }: LayerSources): PackOptions {
  const clamp = latestMtime === undefined ? {} : { clampMtimeSeconds: latestMtime };
  return { directory: snapshots.pathOf(snapshot), marks: snapshots.marks, ...clamp };
}

/** Tells whether the layer's files came from a tar: they do not determine its exact bytes. */
function hasTar({ snapshot }: ResultLayer): boolean {
  return originOf(snapshot) !== "step";
}

function isHere(blob: LayerBlob, deps: Pick<LayerSources, "store">): boolean {
  return deps.store.blobs.has(blob.descriptor.digest);
}

/** Tells whether a blob has the compression; `undefined` accepts any known one. */
function fits(blob: LayerBlob, compression: Compression | undefined): boolean {
  const own = compressionOfMediaType(blob.descriptor.mediaType);
  return compression === undefined ? own !== undefined : own === compression;
}

async function measure(layer: ResultLayer, deps: LayerSources, signal: AbortSignal): Promise<number> {
  let size = 0;
  for await (const chunk of await layerTar(layer, deps, signal)) size += chunk.byteLength;
  return size;
}

/** Passes bytes on, and fails at the end when their digest differs. */
async function* checked(bytes: AsyncIterable<Uint8Array>, expected: Digest): AsyncGenerator<Uint8Array, void> {
  const digester = new Digester();
  for await (const chunk of bytes) {
    digester.update(chunk);
    yield chunk;
  }
  expectDigest(digester.digest(), expected);
}

/** Does the same for a source that digests its own bytes. */
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

/** Makes a stream that opens its source on the first read. */
async function* deferred(open: () => Promise<AsyncIterable<Uint8Array>>): AsyncGenerator<Uint8Array, void> {
  yield* await open();
}

/** Copies chunks, because streams request the next one while a reader still holds the last. */
async function* copied(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of bytes) yield Buffer.from(chunk);
}

function readable(bytes: AsyncIterable<Uint8Array>): Readable {
  return Readable.from(bytes, { objectMode: false });
}
