import { type Digest, digestFromHex } from "../core/digest.ts";
import { O_DIRECTORY, O_PATH } from "../native/constants.ts";
import type { Native, PackPlan, PackSums } from "../native/native.ts";
import { TreeScan } from "../native/scan.ts";
import { lendSums, PACK_SCAN, packFailure, type PackOptions, packPlan } from "./pack.ts";
import { refuseReserved } from "./reserved.ts";

/** A layer's measure, equal to that of its tar. */
export interface LayerMeasure {
  readonly diffId: Digest;
  readonly sizeBytes: number;
  readonly entries: number;
  /** Digest of the difference without times; see content-text.c. */
  readonly contentDigest: Digest;
}

/** Below this number a thread costs more than the work. */
const INLINE_ENTRIES = 200;
const INLINE_BYTES = 1 << 20;

/**
 * Computes the digests of `packLayer`, discarding the bytes: one pass in the addon, on a thread of its own where the
 * layer is more than a few files.
 * @throws {BuildError} `snapshot/failed` when a file cannot be read, `image/reserved` for one with a whiteout's name;
 * the signal's reason when aborted
 */
export async function measureLayer(native: Native, options: PackOptions, signal: AbortSignal): Promise<LayerMeasure> {
  signal.throwIfAborted();
  const isCancelled = new Int32Array(1);
  const stop = (): void => void Atomics.store(isCancelled, 0, 1);
  const dirfd = native.openPath(options.directory, O_PATH | O_DIRECTORY);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const scan = options.scan === undefined ? await native.scanTree(dirfd, PACK_SCAN) : new TreeScan(options.scan);
    signal.throwIfAborted();
    refuseReserved(scan);
    const plan = packPlan(scan, options, "content");
    return measured(isSmall(plan) ? native.packTreeSync(dirfd, plan) : await native.packTree(dirfd, plan, isCancelled));
  } catch (error) {
    signal.throwIfAborted();
    throw packFailure(error);
  } finally {
    signal.removeEventListener("abort", stop);
    native.close(dirfd);
  }
}

/**
 * Does the same and gives the tar, in one pass. Each chunk is valid until the next one is asked for.
 * @returns the measure, at the end of the bytes
 */
export async function* lendMeasured(
  native: Native,
  options: PackOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer, LayerMeasure> {
  signal.throwIfAborted();
  const dirfd = native.openPath(options.directory, O_PATH | O_DIRECTORY);
  let scan: TreeScan;
  try {
    scan = await native.scanTree(dirfd, PACK_SCAN);
  } catch (error) {
    throw packFailure(error);
  } finally {
    native.close(dirfd);
  }
  refuseReserved(scan);
  return measured(yield* lendSums(native, { ...options, scan: scan.columns }, "content", signal));
}

export function measured({ diffId, content, sizeBytes, members }: PackSums): LayerMeasure {
  return {
    diffId: digestFromHex(diffId.toString("hex")),
    sizeBytes,
    entries: members,
    contentDigest: digestFromHex(content.toString("hex")),
  };
}

function isSmall({ columns }: PackPlan): boolean {
  if (columns.parent.length >= INLINE_ENTRIES) return false;
  let sizeBytes = 0;
  for (const [index, size] of columns.size.entries()) if ((columns.mode[index] ?? 0) >>> 12 === 8) sizeBytes += size;
  return sizeBytes < INLINE_BYTES;
}
