import { read } from "node:fs";
import { promisify } from "node:util";
import { type Digest, digestFromHex } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import type { LayerRuns } from "../core/run-interval.ts";
import { O_DIRECTORY, O_PATH } from "../native/constants.ts";
import { describeErrno, SystemError } from "../native/errno.ts";
import type { Native, PackPlan } from "../native/native.ts";
import { type ScanColumns, TreeScan } from "../native/scan.ts";
import type { Marks } from "./marks.ts";

/** What to pack and how. */
export interface PackOptions {
  /** Host path of a layer's own difference, in overlay form. Trusted, and nobody changes it meanwhile. */
  readonly directory: string;
  readonly marks: Marks;
  /** `user` keeps `user.*` attributes too; by default only `security.capability` is kept, as in BuildKit. */
  readonly xattrs?: "capability" | "user";
  /** Later times become this one: whole seconds since 1970 (`rewrite-timestamp`). */
  readonly clampMtimeSeconds?: number;
  /** The time of every file, in whole seconds since 1970. Whiteouts have none. */
  readonly mtimeSeconds?: number | undefined;
  /** Times for the layer's content digest. */
  readonly runs?: LayerRuns;
  /** The directory as already scanned with `PACK_SCAN`, to save doing it twice. */
  readonly scan?: ScanColumns;
}

/** How a directory must be scanned to be packed. */
export const PACK_SCAN = { xattrs: true, links: true } as const;

/** What is known of a layer's tar once all its bytes have been made. */
export interface LayerTar {
  readonly diffId: Digest;
  readonly sizeBytes: number;
}

const CHUNK_BYTES = 1 << 20;
/** Later than any time that 64 bits of nanoseconds hold. */
const NO_CLAMP = Number.MAX_SAFE_INTEGER;

/** Puts options into the addon's words. */
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
 * The layer's tar: same directory, same bytes, on every machine. Chunks are the reader's to keep. For the tar's digests
 * alone, `measureLayer` of measure.ts is much faster.
 */
export async function* packLayer(
  native: Native,
  options: PackOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  for await (const chunk of lendLayer(native, options, signal)) yield Buffer.from(chunk);
}

/**
 * The same without a copy: each chunk is valid until the next one is asked for. The addon packs on a thread of its own, into a
 * pipe; while the pipe is full, it waits for the reader. A thread of Node's pool would not do: those who read and compress
 * need the pool too, and a few packers that wait for them would keep them out of it for ever.
 * @returns the sums of all the bytes, as the addon made them
 * @throws {BuildError} `snapshot/failed` when a file cannot be read; the signal's reason when aborted
 */
export async function* lendLayer(
  native: Native,
  options: PackOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer, LayerTar> {
  signal.throwIfAborted();
  const dirfd = native.openPath(options.directory, O_PATH | O_DIRECTORY);
  try {
    const scan = options.scan === undefined ? await native.scanTree(dirfd, PACK_SCAN) : new TreeScan(options.scan);
    signal.throwIfAborted();
    await using pipe = new PackPipe(native, dirfd, packPlan(scan, options, "tar only"), signal);
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

const readSome = promisify(read);

/** One end of a pipe that the addon packs into, and the packing. Disposing it ends both. */
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
    // Told by `sums`, when the reader gets to the end.
    this.#packing.catch(() => undefined);
    signal.addEventListener("abort", this.#stop, { once: true });
  }

  /** @returns how many bytes there are now; 0 at the end, also that of a packing that failed. */
  async read(into: Buffer): Promise<number> {
    if (this.#readEnd === undefined) return 0;
    this.#isReading = true;
    try {
      return (await readSome(this.#readEnd, into, 0, into.length, null)).bytesRead;
    } finally {
      this.#isReading = false;
    }
  }

  async sums(): Promise<LayerTar> {
    const { diffId, sizeBytes } = await this.#packing;
    return { diffId: digestFromHex(diffId.toString("hex")), sizeBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener("abort", this.#stop);
    this.#stop();
    await this.#packing.catch(() => undefined);
  }

  readonly #stop = (): void => {
    Atomics.store(this.#isCancelled, 0, 1);
    // A packer that waits for a reader is waked by there being none. A read that is under way ends by itself.
    if (this.#isReading || this.#readEnd === undefined) return;
    this.#native.close(this.#readEnd);
    this.#readEnd = undefined;
  };
}

/** Says which file could not be packed, and why. */
export function packFailure(error: unknown): unknown {
  if (!(error instanceof SystemError) || error.syscall !== "read") return error;
  // No file is to blame where the process may not open any more.
  if (error.code === "EMFILE" || error.code === "ENFILE") return error;
  const why = error.code === "ESTALE" ? "its size changed while it was read" : describeErrno(error.errno)[1];
  return new BuildError("snapshot/failed", `Cannot pack "${(error.path ?? "").toWellFormed()}": ${why}`);
}
