import { write } from "node:fs";
import { type Digest, Digester } from "../core/digest.ts";
import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { describeErrno, SystemError } from "../native/errno.ts";
import type { Native } from "../native/native.ts";
import type { TarEntry } from "./entry.ts";
import type { Marks } from "./marks.ts";
import type { SummedTar } from "./gunzip-file.ts";
import { malformed } from "./header-read.ts";
import type { LayerTar } from "./pack.ts";
import { TarReader } from "./read.ts";
import type { OwnerPolicy } from "./tree-metadata.ts";
import { TreeWriter } from "./tree-writer.ts";

export interface UnpackOptions {
  readonly native: Native;
  /** Host path of an existing, empty directory for exclusive use. */
  readonly directory: string;
  /** Owners of the files. Default: as in the archive. */
  readonly owner?: OwnerPolicy;
  readonly limits?: UnpackLimits;
  /** `refuse`: a future layer may not hold a device that means a deleted file there. Default: `keep`. */
  readonly reserved?: "refuse" | "keep";
}

/**
 * Limits against archives made to fill a disk. Defaults: 64 GiB a file (holes included), 2 TiB in all, 20 million
 * members.
 */
export interface UnpackLimits {
  readonly maxFileBytes?: number;
  readonly maxTotalBytes?: number;
  readonly maxEntries?: number;
}

export interface UnpackResult {
  /** Digest of all bytes of the stream, including those after the archive's end: the diffID, for a layer. */
  readonly diffId: Digest;
  readonly sizeBytes: number;
  readonly entries: number;
  /** Directories that contain members but have no member of their own; made root:root 0755 with the epoch's time. */
  readonly impliedDirectories: readonly string[];
  /** Devices that were left out, because this user may not make them. */
  readonly skippedDevices: readonly string[];
}

/**
 * Unpacks an OCI layer into overlay form: whiteouts become character devices 0:0 (or attributes, where those are refused)
 * and opaque marks the attribute `<marks>.overlay.opaque`. No path leads out of the directory, whatever the tar says.
 * On failure the directory holds a part of the layer and is the caller's to remove.
 * @throws {BuildError} `archive/malformed`, `archive/unsafe-path`.
 */
export async function unpackLayer(
  stream: AsyncIterable<Uint8Array> | SummedTar,
  options: UnpackOptions & { readonly marks: Marks },
  signal: AbortSignal,
): Promise<UnpackResult> {
  return unpack(stream, options, options.marks, signal);
}

/** Unpacks any tar: `.wh.` names mean nothing special. For contexts on standard input and ADD. */
export async function unpackArchive(
  stream: AsyncIterable<Uint8Array>,
  options: UnpackOptions,
  signal: AbortSignal,
): Promise<UnpackResult> {
  return unpack(stream, options, undefined, signal);
}

async function unpack(
  stream: AsyncIterable<Uint8Array> | SummedTar,
  options: UnpackOptions,
  marks: Marks | undefined,
  signal: AbortSignal,
): Promise<UnpackResult> {
  try {
    return await unpackAll(stream, options, marks, signal);
  } catch (error) {
    throw unpackFailure(error, options.directory);
  }
}

/** Turns the kernel's refusals into errors of the archive or the disk; they are not broken assumptions of ours. */
function unpackFailure(error: unknown, directory: string): unknown {
  const code = errnoOf(error);
  const isSystems = error instanceof SystemError;
  // An attribute too large for the file has the same errno as a full disk.
  const isFull = (code === "ENOSPC" || code === "EDQUOT") && !(isSystems && error.syscall === "setxattr");
  if (isFull) {
    return new BuildError("store/full", `Cannot unpack into "${directory}": ${messageOf(error)}`, {
      hint: 'free space with "kiln prune", or keep the store on another disk with --root',
      cause: error,
    });
  }
  if (!isSystems) return error;
  const { path = directory, syscall, errno } = error;
  const [, why] = describeErrno(errno);
  return new BuildError("snapshot/failed", `Cannot unpack "${path.toWellFormed()}": ${why} (${syscall})`, {
    cause: error,
  });
}

async function unpackAll(
  stream: AsyncIterable<Uint8Array> | SummedTar,
  options: UnpackOptions,
  marks: Marks | undefined,
  signal: AbortSignal,
): Promise<UnpackResult> {
  const sums = "sums" in stream ? stream.sums : undefined;
  const digester = sums === undefined ? new Digester() : undefined;
  const reader = new TarReader();
  await using tree = new TreeWriter({ ...options, marks, owner: options.owner ?? { kind: "keep" } });
  const sink = new Sink(tree, options.limits ?? {});
  const isWhole = (): boolean => reader.isDone && marks === undefined;
  for await (const piece of undamaged(stream, isWhole)) {
    signal.throwIfAborted();
    const chunk = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    digester?.update(chunk);
    for (const event of reader.push(chunk)) {
      // Most events need no waiting, and a promise for each would cost more than their work.
      const pending =
        event.kind === "entry"
          ? sink.entry(event.entry)
          : event.kind === "data"
            ? sink.data(event.bytes)
            : event.kind === "hole"
              ? sink.hole(event.sizeBytes)
              : sink.end();
      if (pending !== undefined) await pending;
    }
  }
  reader.finish();
  const { impliedDirectories, skippedDevices } = await tree.finish();
  const { diffId, sizeBytes } = sums?.() ?? sumsOf(digester ?? new Digester());
  return { diffId, sizeBytes, entries: sink.entries, impliedDirectories, skippedDevices };
}

function sumsOf(digester: Digester): LayerTar {
  const { sizeBytes } = digester;
  return { diffId: digester.digest(), sizeBytes };
}

/**
 * Ends a damaged stream (or one with trailing garbage) without an error once its archive is complete: the lost bytes
 * are not part of it.
 */
async function* undamaged(stream: AsyncIterable<Uint8Array>, isWhole: () => boolean): AsyncGenerator<Uint8Array, void> {
  try {
    yield* stream;
  } catch (error) {
    if (!isWhole() || !(error instanceof BuildError) || error.code !== "archive/malformed") throw error;
  }
}

/** A collector of a member's content for the tree: whole when small, chunk by chunk when not. */
class Sink {
  entries = 0;
  readonly #tree: TreeWriter;
  readonly #limits: Required<UnpackLimits>;
  #total = 0;
  /** The file being received. */
  #file: { readonly fd: number; position: number } | undefined;

  constructor(tree: TreeWriter, limits: UnpackLimits) {
    this.#tree = tree;
    this.#limits = { maxFileBytes: 2 ** 36, maxTotalBytes: 2 ** 41, maxEntries: 20_000_000, ...limits };
  }

  entry(entry: TarEntry): Promise<void> | undefined {
    this.entries += 1;
    this.#total += entry.size;
    const { maxEntries, maxFileBytes, maxTotalBytes } = this.#limits;
    if (this.entries > maxEntries || entry.size > maxFileBytes || this.#total > maxTotalBytes) {
      throw new BuildError("archive/unsupported", "Cannot unpack the archive: it is larger than the limit", {
        hint: `at most ${maxEntries} members, ${maxFileBytes} bytes each and ${maxTotalBytes} bytes in all are unpacked`,
      });
    }
    if (entry.type !== "file") return this.#tree.add(entry);
    if (this.#tree.isSmall(entry.size)) return this.#tree.beginSmall(entry);
    return this.#open(entry);
  }

  async #open(entry: TarEntry): Promise<void> {
    const fd = await this.#tree.beginLarge(entry);
    if (fd !== undefined) this.#file = { fd, position: 0 };
  }

  data(bytes: Buffer): Promise<void> | undefined {
    if (this.#file !== undefined) return writeFully(this.#file, bytes);
    this.#tree.smallData(bytes);
    return undefined;
  }

  hole(sizeBytes: number): undefined {
    // Never written: the file gets its full size at the end, and zeros are what a hole reads as.
    if (this.#file !== undefined) this.#file.position += sizeBytes;
    else this.#tree.smallHole(sizeBytes);
    return undefined;
  }

  end(): Promise<void> | undefined {
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) return this.#tree.endLarge(file.position);
    this.#tree.endSmall();
    return undefined;
  }
}

async function writeFully(file: { readonly fd: number; position: number }, bytes: Buffer): Promise<void> {
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    at += await new Promise<number>((resolve, reject) => {
      write(file.fd, bytes, start, bytes.length - start, file.position, (error, written) => {
        if (error === null) resolve(written);
        else reject(error);
      });
    });
    file.position += at - start;
    if (at === start) throw malformed("a file cannot be written further");
  }
}
