import { MEDIA_TYPES } from "../../lib/core/oci.ts";
import { inWholeSeconds, type LayerRuns } from "../../lib/core/run-interval.ts";
import type { SolverDeps } from "../deps.ts";
import { SystemError } from "../../lib/native/errno.ts";
import { builtLayerId } from "../../lib/store/snapshot-id.ts";
import type { LayerMeasure } from "../../lib/tar/measure.ts";
import { writeLayer } from "../../lib/tar/write-layer.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import { copyFailed } from "../ops/file/file-batch.ts";
import { hasMoved } from "../../lib/tree/moved-source.ts";
import type { DescribedCopy } from "../ops/file/described-copy.ts";
import { copiedRuns, type ExecuteDeps, type ExecuteInputs, type Executed } from "./execute.ts";

/**
 * Does a COPY of many small files without making them: its layer's tar becomes a blob of the store, whose files are absent
 * until somebody needs them. `undefined` where the copy has to be done for real.
 *
 * Data that flows: the selection with the digest of each file, and a description of the layer made of it; then each file's
 * bytes, from the earlier tar or its source, checked against the digest; the tar, once, into the blob and its sums.
 * @param earlier path of an earlier result's tar, whose files are taken where they are the same
 */
export async function writeCopy(
  { vertex }: KeyedVertex,
  at: Omit<ExecuteInputs, "earlier">,
  earlier: string | undefined,
  { on }: ExecuteDeps,
  signal: AbortSignal,
): Promise<Executed | undefined> {
  const { op } = vertex;
  if (op.kind !== "file") return undefined;
  const startedMs = on.clock.nowMs();
  const { parent, inputs, selected } = at;
  const nowNs = BigInt(startedMs) * 1_000_000n;
  using copy = await at.files.describe(op, { parent, inputs, selected, nowNs }, signal);
  if (copy === undefined) return undefined;
  const copied = copiedRuns(op, inputs, on);
  const runs = copied === undefined ? undefined : inWholeSeconds([{ fromNs: nowNs, untilNs: nowNs }, ...copied]);
  const measure = await write(copy, { earlier, runs }, on, signal);
  if (measure === undefined) return undefined;
  const { diffId, sizeBytes, contentDigest } = measure;
  const descriptor = { mediaType: MEDIA_TYPES.ociLayer, digest: diffId, size: sizeBytes };
  return {
    snapshot: {
      id: builtLayerId(diffId),
      state: "absent",
      diffId,
      tarSizeBytes: sizeBytes,
      contentDigest,
      ...(runs === undefined ? {} : { runs }),
    },
    blob: { diffId, descriptor, repository: undefined },
    wallMs: on.clock.nowMs() - startedMs,
    usage: undefined,
    logFile: undefined,
  };
}

async function write(
  copy: DescribedCopy,
  how: { readonly earlier: string | undefined; readonly runs: LayerRuns },
  { native, store }: Pick<SolverDeps, "native" | "store">,
  signal: AbortSignal,
): Promise<LayerMeasure | undefined> {
  try {
    return await store.blobs.fill(async (fd) => {
      const measure = await writeLayer(native, copy, { fd, ...how }, signal);
      return { ...measure, digest: measure.diffId, size: measure.sizeBytes };
    });
  } catch (error) {
    if (!(error instanceof SystemError) || error.syscall !== "read") throw error;
    // A file is not what it was when it was selected: making the copy file by file finds out what it is now.
    if (hasMoved(error)) return undefined;
    const { path = "" } = error;
    throw copyFailed(path, copy.sourceOf(path), error);
  }
}
