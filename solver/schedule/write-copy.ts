import { MEDIA_TYPES } from "../../lib/core/oci.ts";
import type { LayerRuns } from "../../lib/core/run-interval.ts";
import type { SolverDeps } from "../deps.ts";
import { SystemError } from "../../lib/native/errno.ts";
import { builtLayerId } from "../../lib/store/snapshot-id.ts";
import type { LayerMeasure } from "../../lib/tar/measure.ts";
import { writeLayer } from "../../lib/tar/write-layer.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import { copyFailed } from "../ops/file/file-batch.ts";
import { hasMoved } from "../../lib/tree/moved-source.ts";
import type { DescribedCopy } from "../ops/file/described-copy.ts";
import { copyRuns, type ExecuteDeps, type ExecuteInputs, type Executed } from "./execute.ts";

/**
 * Writes a COPY of many small files without making them: its layer's tar becomes a blob of the store, and its files
 * stay absent until they are needed. `undefined` where the copy must be made as files.
 *
 * The selection has the digest of each file, and describes the layer. Each file's bytes come from the earlier tar or
 * the source, and are checked against the digest. The tar is written once, into the blob and its digests.
 * @param earlier path of an earlier result's tar, a source of unchanged files
 */
export async function writeCopy(
  { vertex }: KeyedVertex,
  context: Omit<ExecuteInputs, "earlier">,
  earlier: string | undefined,
  { solver }: ExecuteDeps,
  signal: AbortSignal,
): Promise<Executed | undefined> {
  const { op } = vertex;
  if (op.kind !== "file") return undefined;
  const startedMs = solver.clock.nowMs();
  const { parent, inputs, selected } = context;
  const nowNs = BigInt(startedMs) * 1_000_000n;
  using copy = await context.files.describe(op, { parent, inputs, selected, nowNs }, signal);
  if (copy === undefined) return undefined;
  const runs = copyRuns(op, inputs, { fromNs: nowNs, untilNs: nowNs }, solver);
  const measure = await write(copy, { earlier, runs }, solver, signal);
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
    wallMs: solver.clock.nowMs() - startedMs,
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
