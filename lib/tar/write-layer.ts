import { O_RDONLY } from "../native/constants.ts";
import type { LayerRuns } from "../core/run-interval.ts";
import { errnoOf } from "../core/errors.ts";
import type { KeptBytes, Native } from "../native/native.ts";
import { type ScanColumns, TreeScan } from "../native/scan.ts";
import { type LayerMeasure, measured } from "./measure.ts";
import { packPlan } from "./pack.ts";
import { refuseReserved } from "./reserved.ts";

/** A layer whose files are not in a directory of its own. */
export interface LayerDescription {
  /** All that the layer holds, without attributes; see `DescribedTree`. */
  readonly columns: ScanColumns;
  /** Descriptor of the directory that has its regular files, all below one directory of the layer. */
  readonly dirfd: number;
  /** Length in bytes of that directory's path in the layer and a slash; 0 for the layer's root. */
  readonly strip: number;
  /** The sha256 of each regular file, 32 bytes per row. */
  readonly expected: Uint8Array;
  /** Of files whose bytes are in memory. */
  readonly kept: KeptBytes;
}

/**
 * Writes the tar of a layer that is only described into an empty file. It is the one that the layer's files would give if they
 * were written and packed. A file that is not the expected one any more fails it.
 * @param earlier path of a layer's tar that may have some of the files, which are then not opened; it need not be there
 * @throws SystemError of the file that cannot be read, with its path in the layer: ESTALE for another than expected
 */
export async function writeLayer(
  native: Native,
  layer: LayerDescription,
  to: { readonly fd: number; readonly earlier: string | undefined; readonly runs?: LayerRuns },
  signal: AbortSignal,
): Promise<LayerMeasure> {
  signal.throwIfAborted();
  const { columns, dirfd, strip, expected, kept } = layer;
  const scan = new TreeScan(columns);
  refuseReserved(scan);
  const plan = packPlan(scan, { marks: "trusted", runs: to.runs }, "content");
  const isCancelled = new Int32Array(1);
  const stop = (): void => void Atomics.store(isCancelled, 0, 1);
  const earlierFd = to.earlier === undefined ? undefined : openEarlier(native, to.earlier);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const files = { strip, expected, earlierFd, kept };
    return measured(await native.packTree(dirfd, plan, isCancelled, { fd: to.fd, kind: "file", files }));
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    if (earlierFd !== undefined) native.close(earlierFd);
  }
}

function openEarlier(native: Native, path: string): number | undefined {
  try {
    return native.openPath(path, O_RDONLY);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
