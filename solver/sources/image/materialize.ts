import type { Readable } from "node:stream";
import { hexOf } from "../../../lib/core/digest.ts";
import { BuildError, type ErrorCode } from "../../../lib/core/errors.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { RegistryClient } from "../../../lib/registry/registry.ts";
import { LostLayerError } from "../../../lib/store/lost-layer.ts";
import type { LayerBlob, SnapshotId, SnapshotRow } from "../../../lib/store/model.ts";
import type { Store } from "../../../lib/store/store.ts";
import { decompress, sniffCompression } from "../../../lib/tar/compression.ts";
import { unpackLayer } from "../../../lib/tar/unpack.ts";
import type { Clock, Snapshotter, Stack } from "../../ports.ts";
import { openBlobAt } from "./open-blob.ts";
import { lendParents } from "./lend-parents.ts";

export interface MaterializeDeps {
  readonly store: Store;
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  readonly registry: () => Promise<RegistryClient>;
  readonly progress: ProgressSink;
  readonly clock: Clock;
}

/** Layers downloaded and unpacked at one time. Unpacking keeps the disk busy, downloads mostly wait. */
const CONCURRENT_LAYERS = 6;
/** Least time between two reports on one download. */
const REPORT_INTERVAL_MS = 100;

/**
 * Makes the absent layers of a stack present: blobs that the store lacks are downloaded, then each is decompressed and
 * unpacked into a directory of its own, all at once.
 *
 * Another process, or another call in this one, may be about the same layers. Each layer has a lease; they are taken in
 * one order everywhere, so that two calls with some layers in common wait for one another and never in a circle.
 */
export async function materializeLayers(
  stack: Stack,
  step: string | undefined,
  on: MaterializeDeps,
  signal: AbortSignal,
): Promise<void> {
  const wanted = absentOf(stack, on.store);
  if (wanted.length === 0) return;
  using leases = new DisposableStack();
  for (const id of wanted.map((row) => row.id).toSorted()) {
    leases.use(await on.store.leases.acquire(`layer ${id}`, signal));
  }
  const absent = absentOf(stack, on.store);
  await using received = new AsyncDisposableStack();
  const unpacked = await mapLimit(absent, CONCURRENT_LAYERS, signal, async (row, s) => {
    try {
      const { target, impliedDirectories } = await receive(row, step, on, s);
      return { id: row.id, target: received.use(target), impliedDirectories };
    } catch (error) {
      s.throwIfAborted();
      throw error instanceof BuildError ? new LostLayerError(row.id, error) : error;
    }
  });
  const byId = new Map(unpacked.map((layer) => [layer.id, layer]));
  const directoryOf = (id: SnapshotId): string => byId.get(id)?.target.directory ?? on.snapshotter.pathOf(id);
  for (const [index, id] of stack.entries()) {
    const layer = byId.get(id);
    if (layer === undefined || layer.impliedDirectories.length === 0 || stack.indexOf(id) !== index) continue;
    const below = stack.slice(0, index).map(directoryOf).toReversed();
    lendParents({ directory: layer.target.directory, paths: layer.impliedDirectories, below }, on);
  }
  // Only now, when all of them are whole: files first, then the rows that say so.
  for (const { id, target } of unpacked) {
    await target.commit();
    on.store.snapshots.markPresent(id);
  }
}

/** Each once, in the order of the stack. */
function absentOf(stack: Stack, store: Store): readonly SnapshotRow[] {
  return store.snapshots.getMany([...new Set(stack)]).filter((row) => row.state === "absent");
}

/**
 * A layer's files, from any blob that holds them. Which blobs do is what images say of themselves, and one image may claim the
 * layer of another: what turns out to hold another tar, or none, is passed over, and forgotten once another blob was the right one.
 */
async function receive(
  row: SnapshotRow,
  step: string | undefined,
  on: MaterializeDeps,
  signal: AbortSignal,
): Promise<{
  readonly target: Awaited<ReturnType<Snapshotter["receive"]>>;
  readonly impliedDirectories: readonly string[];
}> {
  const { diffId } = row;
  const known = diffId === undefined ? [] : on.store.snapshots.layerBlobs(diffId);
  // An uncompressed tar proves itself by its digest.
  const left = new Set(
    known.toSorted((a, b) => Number(b.descriptor.digest === diffId) - Number(a.descriptor.digest === diffId)),
  );
  const wrong: LayerBlob[] = [];
  let failure: BuildError | undefined;
  for (;;) {
    const blob = await fetchBlob(row, [...left], step, on, signal).catch((error: unknown) => {
      throw failure ?? error;
    });
    const target = await on.snapshotter.receive(row.id, signal);
    try {
      const { impliedDirectories } = await unpack(row, blob, target.directory, on, signal);
      for (const other of wrong) on.store.snapshots.forgetLayerBlob(other);
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

/** What a blob that is not the layer ends in when it is unpacked. */
const WRONG_BLOB: ReadonlySet<ErrorCode> = new Set([
  "archive/malformed",
  "archive/unsafe-path",
  "archive/unsupported",
  "digest/mismatch",
]);

/** The store's own copy of the layer, downloaded when there is none. */
async function fetchBlob(
  row: SnapshotRow,
  known: readonly LayerBlob[],
  step: string | undefined,
  on: MaterializeDeps,
  signal: AbortSignal,
): Promise<LayerBlob> {
  const here = known.find(({ descriptor }) => on.store.blobs.has(descriptor.digest));
  if (here !== undefined) return here;
  let failure: unknown;
  for (const blob of known) {
    if (blob.repository === undefined) continue;
    try {
      await download(blob, blob.repository, step, on, signal);
      return blob;
    } catch (error) {
      signal.throwIfAborted();
      // Another repository may have it still; if none has, the first one's answer is told.
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
  on: MaterializeDeps,
  signal: AbortSignal,
): Promise<void> {
  const report = reporter(descriptor, step, on);
  const open = async (offsetBytes: number, s: AbortSignal): Promise<Readable> => {
    const stream = await openBlobAt(repository, descriptor, { offsetBytes, check: "none" }, on, s);
    let current = offsetBytes;
    stream.on("data", (chunk: Buffer) => report((current += chunk.length), false));
    // Listening must not set the stream flowing before the store reads it.
    return stream.pause();
  };
  try {
    await on.store.blobs.download(descriptor, open, signal);
  } catch (error) {
    // What was altered on the way may come whole the second time, from elsewhere if a mirror did it; a registry that has
    // other bytes sends them again.
    if (!(error instanceof BuildError) || error.code !== "digest/mismatch") throw error;
    if (!repository.startsWith("/")) (await on.registry()).distrust(descriptor.digest);
    await on.store.blobs.download(descriptor, open, signal);
  }
  report(descriptor.size, true);
}

function reporter(
  descriptor: LayerBlob["descriptor"],
  step: string | undefined,
  on: MaterializeDeps,
): (current: number, done: boolean) => void {
  if (step === undefined) return () => undefined;
  let lastMs = 0;
  return (current, done) => {
    const atMs = on.clock.nowMs();
    if (!done && atMs - lastMs < REPORT_INTERVAL_MS) return;
    lastMs = atMs;
    const { digest, size } = descriptor;
    on.progress({ kind: "status", id: step, item: digest, current, total: size, unit: "bytes", done, atMs });
  };
}

/** @throws {BuildError} `digest/mismatch` when the tar inside is not the one that the image's configuration names. */
async function unpack(
  row: SnapshotRow,
  { descriptor }: LayerBlob,
  directory: string,
  on: MaterializeDeps,
  signal: AbortSignal,
): Promise<{ readonly impliedDirectories: readonly string[] }> {
  // By its bytes: media types of old images do not always say how a layer is compressed.
  const { kind, stream } = await sniffCompression(on.store.blobs.open(descriptor.digest), signal);
  const { native, snapshotter } = on;
  const tar = decompress(stream, kind, signal);
  const result = await unpackLayer(tar, { directory, native, marks: snapshotter.marks }, signal);
  if (row.diffId !== undefined && result.diffId !== row.diffId) {
    throw new BuildError(
      "digest/mismatch",
      `Cannot unpack layer ${hexOf(descriptor.digest).slice(0, 12)}: its tar has digest ${result.diffId}, and the image says ${row.diffId}`,
    );
  }
  on.store.snapshots.learn(row.id, { tarSizeBytes: result.sizeBytes });
  return result;
}
