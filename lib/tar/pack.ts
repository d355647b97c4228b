import { read } from "node:fs";
import { promisify } from "node:util";
import { type Digest, digestFromHex } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import type { LayerRuns } from "../core/run-interval.ts";
import { O_DIRECTORY, O_PATH } from "../native/constants.ts";
import { describeErrno, SystemError } from "../native/errno.ts";
import type { Native, PackPlan, PackSums } from "../native/native.ts";
import { type ScanColumns, TreeScan } from "../native/scan.ts";
import type { Marks } from "./marks.ts";

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

const CHUNK_BYTES = 1 << 20;
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
 * Does the same without copies: each chunk is valid until the next one is requested. The addon packs on a thread of its
 * own, into a pipe; while the pipe is full, it waits for the reader. A thread of Node's pool would not do: readers and
 * compressors need the pool too, and a few packers that wait for them would keep them out of it for ever.
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
    await using pipe = new PackPipe(native, dirfd, packPlan(scan, options, counts), signal);
    const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    for (let count = await pipe.read(buffer); count > 0; count = await pipe.read(buffer)) {
      signal.throwIfAborted();
      yield buffer.subarray(0, count);
      signal.throwIfAborted();
    }
    return await pipe.sums();
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

const readSome = promisify(read);

/** The read end of a pipe that the addon packs into, and the packing. Disposing it ends both. */
class PackPipe implements AsyncDisposable {
  readonly #native: Native;
  readonly #signal: AbortSignal;
  readonly #packing: ReturnType<Native["packTree"]>;
  readonly #isCancelled = new Int32Array(1);
  #readEnd: number | undefined;
  #isReading = false;

  constructor(native: Native, dirfd: number, plan: PackPlan, signal: AbortSignal) {
    this.#native = native;
    this.#signal = signal;
    const { readEnd, writeEnd } = native.pipe();
    this.#readEnd = readEnd;
    this.#packing = native.packTree(dirfd, plan, this.#isCancelled, { fd: writeEnd, kind: "pipe" }).finally(() => {
      native.close(writeEnd);
    });
    // `sums` reports it, when the reader gets to the end.
    this.#packing.catch(() => undefined);
    signal.addEventListener("abort", this.#stop, { once: true });
  }

  /**
   * Reads bytes.
   * @returns their number; 0 at the end, also after a failure
   */
  async read(into: Buffer): Promise<number> {
    if (this.#readEnd === undefined) return 0;
    this.#isReading = true;
    try {
      return (await readSome(this.#readEnd, into, 0, into.length, null)).bytesRead;
    } finally {
      this.#isReading = false;
    }
  }

  sums(): Promise<PackSums> {
    return this.#packing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener("abort", this.#stop);
    this.#stop();
    await this.#packing.catch(() => undefined);
  }

  readonly #stop = (): void => {
    Atomics.store(this.#isCancelled, 0, 1);
    // Closing the read end wakes a packer that waits for a reader. A running read ends by itself.
    if (this.#isReading || this.#readEnd === undefined) return;
    this.#native.close(this.#readEnd);
    this.#readEnd = undefined;
  };
}

/** Turns an error into one that names the file and the reason. */
export function packFailure(error: unknown): unknown {
  if (!(error instanceof SystemError) || error.syscall !== "read") return error;
  // When the process may not open any more files, no file is at fault.
  if (error.code === "EMFILE" || error.code === "ENFILE") return error;
  const why = error.code === "ESTALE" ? "its size changed while it was read" : describeErrno(error.errno)[1];
  return new BuildError("snapshot/failed", `Cannot pack "${(error.path ?? "").toWellFormed()}": ${why}`);
}
