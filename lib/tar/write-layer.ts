import { O_RDONLY } from "../native/constants.ts";
import type { LayerRuns } from "../core/run-interval.ts";
import { errnoOf } from "../core/errors.ts";
import type { KeptBytes, Native } from "../native/native.ts";
import { type ScanColumns, TreeScan } from "../native/scan.ts";
import { type LayerMeasure, measured } from "./measure.ts";
import { packPlan } from "./pack.ts";
import { refuseReserved } from "./reserved.ts";

/** A layer without a directory of its own. */
export interface LayerDescription {
  /** All members of the layer, without attributes; see `DescribedTree`. */
  readonly columns: ScanColumns;
  /** Descriptor of the directory with its regular files, all below one directory of the layer. */
  readonly dirfd: number;
  /** Length in bytes of that directory's path in the layer and a slash; 0 for the layer's root. */
  readonly strip: number;
  /** The sha256 of each regular file, 32 bytes per row. */
  readonly expected: Uint8Array;
  /** Contents of files that are in memory. */
  readonly kept: KeptBytes;
}

/**
 * Writes the tar of a described layer into an empty file. It equals the tar of the layer's files, written and packed. A
 * file with unexpected content fails it.
 * @param target `earlier`: path of a layer's tar that may have some of the files, which are then not opened; it need
 * not exist
 * @throws SystemError of the unreadable file, with its path in the layer: ESTALE for unexpected content
 */
export async function writeLayer(
  native: Native,
  layer: LayerDescription,
  target: { readonly fd: number; readonly earlier: string | undefined; readonly runs?: LayerRuns },
  signal: AbortSignal,
): Promise<LayerMeasure> {
  signal.throwIfAborted();
  const { columns, dirfd, strip, expected, kept } = layer;
  const scan = new TreeScan(columns);
  refuseReserved(scan);
  const plan = packPlan(scan, { marks: "trusted", runs: target.runs }, "content");
  const isCancelled = new Int32Array(1);
  const stop = (): void => void Atomics.store(isCancelled, 0, 1);
  const earlierFd = target.earlier === undefined ? undefined : openEarlier(native, target.earlier);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const files = { strip, expected, earlierFd, kept };
    return measured(await native.packTree(dirfd, plan, isCancelled, { fd: target.fd, kind: "file", files }));
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
