import { type Digest, digestFromHex } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import type { LayerRuns } from "../core/run-interval.ts";
import { O_DIRECTORY, O_PATH } from "../native/constants.ts";
import { describeErrno, SystemError } from "../native/errno.ts";
import type { Native, PackPlan, PackSums } from "../native/native.ts";
import { type ScanColumns, TreeScan } from "../native/scan.ts";
import type { Marks } from "./marks.ts";
import { type PipeWork, throughPipe } from "./tar-pipe.ts";

/** Input and form of a packed layer. */
export interface PackOptions {
  /** Host path of a layer's own difference, in overlay form. Trusted, and unchanged meanwhile. */
  readonly directory: string;
  readonly marks: Marks;
  /** `user` keeps `user.*` attributes too; by default only `security.capability` is kept, as in BuildKit. */
  readonly xattrs?: "capability" | "user";
  /** Latest time: later ones become this one, in whole seconds since 1970 (`rewrite-timestamp`). */
  readonly clampMtimeSeconds?: number;
  /** The time of every file, in whole seconds since 1970. Whiteouts have none. */
  readonly mtimeSeconds?: number | undefined;
  /** Times for the layer's content digest. */
  readonly runs?: LayerRuns;
  /** An existing scan of the directory with `PACK_SCAN`, to save another one. */
  readonly scan?: ScanColumns;
}

/** Options of a scan for packing. */
export const PACK_SCAN = { xattrs: true, links: true } as const;

/** Facts about a layer's tar after its last byte. */
export interface LayerTar {
  readonly diffId: Digest;
  readonly sizeBytes: number;
}

/** Later than any time that 64 bits of nanoseconds hold. */
const NO_CLAMP = Number.MAX_SAFE_INTEGER;

/** Converts options to the addon's form. */
export function packPlan(
  { columns }: TreeScan,
  options: Pick<PackOptions, "marks" | "xattrs" | "clampMtimeSeconds" | "mtimeSeconds" | "runs">,
  counts: "content" | "tar only",
): PackPlan {
  const { marks, xattrs = "capability", clampMtimeSeconds, mtimeSeconds, runs } = options;
  const fixed =
    mtimeSeconds === undefined
      ? {}
      : { mtimeNs: new BigInt64Array(columns.mtimeNs.length).fill(BigInt(mtimeSeconds) * 1_000_000_000n) };
  return {
    columns: { ...columns, ...fixed },
    marks,
    keepsUserAttributes: xattrs === "user",
    countsContent: counts === "content",
    latestSeconds: clampMtimeSeconds ?? NO_CLAMP,
    runs,
  };
}

/**
 * Packs a layer's tar: the same directory gives the same bytes on every machine. The reader owns the chunks. For the
 * digests alone, `measureLayer` of measure.ts is much faster.
 */
export async function* packLayer(
  native: Native,
  options: PackOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  for await (const chunk of lendLayer(native, options, signal)) yield Buffer.from(chunk);
}

/**
 * Does the same without copies: each chunk is valid until the next one is requested. The addon packs on a thread of its own.
 * @returns the sums of all the bytes, computed by the addon
 * @throws {BuildError} `snapshot/failed` when a file cannot be read; the signal's reason when aborted
 */
export async function* lendSums(
  native: Native,
  options: PackOptions,
  counts: "content" | "tar only",
  signal: AbortSignal,
): AsyncGenerator<Buffer, PackSums> {
  signal.throwIfAborted();
  const dirfd = native.openPath(options.directory, O_PATH | O_DIRECTORY);
  try {
    const scan = options.scan === undefined ? await native.scanTree(dirfd, PACK_SCAN) : new TreeScan(options.scan);
    signal.throwIfAborted();
    const plan = packPlan(scan, options, counts);
    const pack: PipeWork<PackSums> = (fd, cancelled) => native.packTree(dirfd, plan, cancelled, { fd, kind: "pipe" });
    return yield* throughPipe(native, pack, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw packFailure(error);
  } finally {
    native.close(dirfd);
  }
}

/** Lends the tar with nothing but the digest of its bytes: see `lendSums`. */
export async function* lendLayer(
  native: Native,
  options: PackOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer, LayerTar> {
  const { diffId, sizeBytes } = yield* lendSums(native, options, "tar only", signal);
  return { diffId: digestFromHex(diffId.toString("hex")), sizeBytes };
}

/** Turns an error into one that names the file and the reason. */
export function packFailure(error: unknown): unknown {
  if (!(error instanceof SystemError) || error.syscall !== "read") return error;
  // When the process may not open any more files, no file is at fault.
  if (error.code === "EMFILE" || error.code === "ENFILE") return error;
  const why = error.code === "ESTALE" ? "its size changed while it was read" : describeErrno(error.errno)[1];
  return new BuildError("snapshot/failed", `Cannot pack "${(error.path ?? "").toWellFormed()}": ${why}`);
}
