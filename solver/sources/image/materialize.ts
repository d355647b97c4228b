import type { Readable } from "node:stream";
import { hexOf } from "../../../lib/core/digest.ts";
import { BuildError, type ErrorCode } from "../../../lib/core/errors.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import type { Native } from "../../../lib/native/native.ts";
import { LostLayerError } from "../../../lib/store/lost-layer.ts";
import type { LayerBlob, SnapshotId, SnapshotRow } from "../../../lib/store/model.ts";
import type { Store } from "../../../lib/store/store.ts";
import { decompress, sniffCompression } from "../../../lib/tar/compression.ts";
import { gunzipFile } from "../../../lib/tar/gunzip-file.ts";
import { unpackLayer } from "../../../lib/tar/unpack.ts";
import type { Clock, Snapshotter, Stack } from "../../ports.ts";
import { type BlobPlaces, isInRegistry, openBlobAt } from "./open-blob.ts";
import { lendParents } from "./lend-parents.ts";

export interface MaterializeDeps extends BlobPlaces {
  readonly store: Store;
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  readonly progress: ProgressSink;
  readonly clock: Clock;
  /** Opens a layer's blob outside the store, where somebody has laid one ready; it is unpacked without a copy. */
  readonly laidReady?: ((row: SnapshotRow) => Readable | undefined) | undefined;
}

/**
 * Limit of layers that are downloaded and unpacked concurrently. Unpacking keeps the disk busy, downloads mostly wait.
 */
const CONCURRENT_LAYERS = 6;
/** Minimum time between two reports on one download. */
const REPORT_INTERVAL_MS = 100;

/**
 * Makes the absent layers of a stack present, all at once: missing blobs are downloaded, then each is decompressed and
 * unpacked into a directory of its own.
 *
 * Another process, or another call in this one, may be working on the same layers. Each layer has a lease. All callers
 * take leases in one order, so two calls with some layers in common wait for one another, but never in a circle.
 */
export async function materializeLayers(
  stack: Stack,
  step: string | undefined,
  deps: MaterializeDeps,
  signal: AbortSignal,
): Promise<void> {
  const wanted = absentOf(stack, deps.store);
  if (wanted.length === 0) return;
  using leases = new DisposableStack();
  for (const id of wanted.map((row) => row.id).toSorted()) {
    leases.use(await deps.store.leases.acquire(`layer ${id}`, signal));
  }
  const absent = absentOf(stack, deps.store);
  await using received = new AsyncDisposableStack();
  const unpacked = await mapLimit(absent, CONCURRENT_LAYERS, signal, async (row, s) => {
    try {
      const { target, impliedDirectories } = await receive(row, step, deps, s);
      return { id: row.id, target: received.use(target), impliedDirectories };
    } catch (error) {
      s.throwIfAborted();
      throw error instanceof BuildError ? new LostLayerError(row.id, error) : error;
    }
  });
  const byId = new Map(unpacked.map((layer) => [layer.id, layer]));
  const directoryOf = (id: SnapshotId): string => byId.get(id)?.target.directory ?? deps.snapshotter.pathOf(id);
  for (const [index, id] of stack.entries()) {
    const layer = byId.get(id);
    if (layer === undefined || layer.impliedDirectories.length === 0 || stack.indexOf(id) !== index) continue;
    const below = stack.slice(0, index).map(directoryOf).toReversed();
    lendParents({ directory: layer.target.directory, paths: layer.impliedDirectories, below }, deps);
  }
  // Rows are written only when all layers are complete: files first, then the rows for them.
  for (const { id, target } of unpacked) {
    await target.commit();
    deps.store.snapshots.markPresent(id);
  }
}

/** Lists the absent layers, each once, in the order of the stack. */
function absentOf(stack: Stack, store: Store): readonly SnapshotRow[] {
  return store.snapshots.getMany([...new Set(stack)]).filter((row) => row.state === "absent");
}

/**
 * Gets a layer's files from any of its blobs. The mapping comes from images, and one image may claim another's layer: a
 * blob that turns out to hold another tar, or none, is skipped, and forgotten once another blob was the right one.
 */
async function receive(
  row: SnapshotRow,
  step: string | undefined,
  deps: MaterializeDeps,
  signal: AbortSignal,
): Promise<{
  readonly target: Awaited<ReturnType<Snapshotter["receive"]>>;
  readonly impliedDirectories: readonly string[];
}> {
  const { diffId } = row;
  const ready = deps.laidReady?.(row);
  if (ready !== undefined) return receiveReady(row, ready, deps, signal);
  const known = diffId === undefined ? [] : deps.store.snapshots.layerBlobs(diffId);
  // An uncompressed tar proves itself by its digest.
  const left = new Set(
    known.toSorted((a, b) => Number(b.descriptor.digest === diffId) - Number(a.descriptor.digest === diffId)),
  );
  const wrong: LayerBlob[] = [];
  let failure: BuildError | undefined;
  for (;;) {
    const blob = await fetchBlob(row, [...left], step, deps, signal).catch((error: unknown) => {
      throw failure ?? error;
    });
    const target = await deps.snapshotter.receive(row.id, signal);
    try {
      const { descriptor } = blob;
      const report = reporter(descriptor, `extracting ${descriptor.digest}`, step, deps);
      const place = { name: hexOf(descriptor.digest), path: deps.store.blobs.pathOf(descriptor.digest), report };
      const bytes = counted(deps.store.blobs.open(descriptor.digest), 0, report);
      const { impliedDirectories } = await unpack(row, { bytes, ...place }, target.directory, deps, signal);
      report(descriptor.size, true);
      for (const other of wrong) deps.store.snapshots.forgetLayerBlob(other);
      return { target, impliedDirectories };
    } catch (error) {
      await target[Symbol.asyncDispose]();
      if (!(error instanceof BuildError) || !WRONG_BLOB.has(error.code)) throw error;
      failure ??= error;
      wrong.push(blob);
      for (const other of left) if (other.descriptor.digest === blob.descriptor.digest) left.delete(other);
    }
  }
}

async function receiveReady(
  row: SnapshotRow,
  bytes: Readable,
  deps: MaterializeDeps,
  signal: AbortSignal,
): Promise<Awaited<ReturnType<typeof receive>>> {
  const target = await deps.snapshotter.receive(row.id, signal);
  try {
    const { impliedDirectories } = await unpack(row, { bytes, name: row.id }, target.directory, deps, signal);
    return { target, impliedDirectories };
  } catch (error) {
    await target[Symbol.asyncDispose]();
    throw error;
  }
}

/** Errors of unpacking a blob that is not the layer. */
const WRONG_BLOB: ReadonlySet<ErrorCode> = new Set([
  "archive/malformed",
  "archive/unsafe-path",
  "archive/unsupported",
  "digest/mismatch",
]);

/** Returns the store's own copy of the layer, downloading it if necessary. */
async function fetchBlob(
  row: SnapshotRow,
  known: readonly LayerBlob[],
  step: string | undefined,
  deps: MaterializeDeps,
  signal: AbortSignal,
): Promise<LayerBlob> {
  const here = known.find(({ descriptor }) => deps.store.blobs.has(descriptor.digest));
  if (here !== undefined) return here;
  let failure: unknown;
  for (const blob of known) {
    if (blob.repository === undefined) continue;
    try {
      await download(blob, blob.repository, step, deps, signal);
      return blob;
    } catch (error) {
      signal.throwIfAborted();
      // Another repository may still have it; if none has, report the first one's answer.
      failure ??= error;
    }
  }
  throw (
    failure ??
    new BuildError("store/corrupt", `Cannot get layer ${row.diffId ?? row.id}: no known registry has it`, {
      hint: "pull the image again",
    })
  );
}

async function download(
  { descriptor }: LayerBlob,
  repository: string,
  step: string | undefined,
  deps: MaterializeDeps,
  signal: AbortSignal,
): Promise<void> {
  const report = reporter(descriptor, descriptor.digest, step, deps);
  const open = async (offsetBytes: number, s: AbortSignal): Promise<Readable> => {
    const stream = await openBlobAt(repository, descriptor, { offsetBytes, check: "none" }, deps, s);
    return counted(stream, offsetBytes, report);
  };
  try {
    await deps.store.blobs.download(descriptor, open, signal);
  } catch (error) {
    // Bytes altered on the way may arrive whole the second time, or from another place if a mirror altered them; a
    // registry with wrong bytes sends them again.
    if (!(error instanceof BuildError) || error.code !== "digest/mismatch") throw error;
    if (isInRegistry(repository)) (await deps.registry()).distrust(descriptor.digest);
    await deps.store.blobs.download(descriptor, open, signal);
  }
  report(descriptor.size, true);
}

/** Reports the bytes that are read from a stream. */
function counted(stream: Readable, offsetBytes: number, report: (current: number, done: boolean) => void): Readable {
  let current = offsetBytes;
  stream.on("data", (chunk: Buffer) => report((current += chunk.length), false));
  // Listening must not start the stream before its reader does.
  return stream.pause();
}

function reporter(
  { size }: LayerBlob["descriptor"],
  item: string,
  step: string | undefined,
  deps: MaterializeDeps,
): (current: number, done: boolean) => void {
  if (step === undefined) return () => undefined;
  let lastMs = 0;
  return (current, done) => {
    const atMs = deps.clock.nowMs();
    if (!done && atMs - lastMs < REPORT_INTERVAL_MS) return;
    lastMs = atMs;
    const known = Math.min(current, size);
    deps.progress({ kind: "status", id: step, item, current: known, total: size, unit: "bytes", done, atMs });
  };
}

/**
 * Unpacks a blob.
 * @throws {BuildError} `digest/mismatch` when the tar inside is not the one in the image's configuration
 */
async function unpack(
  row: SnapshotRow,
  blob: {
    readonly bytes: Readable;
    readonly name: string;
    /** Path of the file with the same bytes, if there is one. */
    readonly path?: string;
    /** Receives how much of that file has been read. */
    readonly report?: (currentBytes: number, done: boolean) => void;
  },
  directory: string,
  deps: MaterializeDeps,
  signal: AbortSignal,
): Promise<{ readonly impliedDirectories: readonly string[] }> {
  // Detect by content: media types of old images do not always tell a layer's compression.
  const { kind, stream } = await sniffCompression(blob.bytes, signal);
  const { native, snapshotter } = deps;
  // gzip, the form of nearly all layers, has a quicker way than through Node's streams.
  const file = kind === "gzip" ? blob.path : undefined;
  if (file !== undefined) await stream.return();
  const tar =
    file === undefined
      ? decompress(stream, kind, signal)
      : gunzipFile(native, file, signal, (read) => blob.report?.(read, false));
  const result = await unpackLayer(tar, { directory, native, marks: snapshotter.marks }, signal);
  if (row.diffId !== undefined && result.diffId !== row.diffId) {
    throw new BuildError(
      "digest/mismatch",
      `Cannot unpack layer ${blob.name.slice(0, 12)}: its tar has digest ${result.diffId}, and the image says ${row.diffId}`,
    );
  }
  deps.store.snapshots.learn(row.id, { tarSizeBytes: result.sizeBytes });
  return result;
}
