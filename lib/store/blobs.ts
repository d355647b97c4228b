import {
  closeSync,
  createReadStream,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { basename, join } from "node:path";
import { addAbortSignal, Readable } from "node:stream";
import { type Digest, Digester, digestOf, hexOf } from "../core/digest.ts";
import { BuildError, errnoOf } from "../core/errors.ts";
import { ownFailure, storeFailure } from "./failure.ts";
import type { Holds } from "./holds.ts";
import { BlobGrowth, type GrowingBlob } from "./growing-blob.ts";
import { fileLock, type LockCalls } from "./file-lock.ts";
import type { Blobs, ExpectedBlob, WrittenBlob } from "./store.ts";

/** Blobs are big or read once: large chunks keep the number of calls down without holding a layer in memory. */
const CHUNK_BYTES = 1 << 20;

export function openBlobs(deps: {
  readonly directory: string;
  readonly leases: string;
  readonly holds: Holds;
  readonly calls: LockCalls;
}): Blobs {
  return new FileBlobs(deps.directory, deps.leases, deps.holds, deps.calls);
}

class FileBlobs implements Blobs {
  readonly #directory: string;
  readonly #leases: string;
  readonly #holds: Holds;
  readonly #calls: LockCalls;

  constructor(directory: string, leases: string, holds: Holds, calls: LockCalls) {
    this.#directory = directory;
    this.#leases = leases;
    this.#holds = holds;
    this.#calls = calls;
  }

  has(digest: Digest): boolean {
    return this.sizeOf(digest) !== undefined;
  }

  sizeOf(digest: Digest): number | undefined {
    return this.#holds.keep(
      () => statSync(this.pathOf(digest), { throwIfNoEntry: false })?.size,
      (size) => (size === undefined ? [] : [`blob:${digest}`]),
    );
  }

  pathOf(digest: Digest): string {
    return join(this.#directory, hexOf(digest));
  }

  open(digest: Digest, from?: { readonly offsetBytes: number }): Readable {
    const path = this.pathOf(digest);
    let fd: number;
    try {
      fd = openSync(path, "r");
    } catch (error) {
      throw errnoOf(error) === "ENOENT" ? missingBlob(digest) : ownFailure(`read blob "${digest}"`, error);
    }
    return createReadStream(path, { fd, start: from?.offsetBytes ?? 0, highWaterMark: CHUNK_BYTES });
  }

  readBytes(digest: Digest, maxBytes: number): Buffer | undefined {
    let bytes: Buffer;
    try {
      const size = this.sizeOf(digest);
      if (size === undefined) return undefined;
      if (size > maxBytes) {
        throw new BuildError(
          "store/corrupt",
          `Cannot read blob "${digest}": it has ${size} bytes, more than ${maxBytes}`,
        );
      }
      bytes = readFileSync(this.pathOf(digest));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw ownFailure(`read blob "${digest}"`, error);
    }
    if (digestOf(bytes) !== digest) throw damagedBlob(digest);
    return bytes;
  }

  put(bytes: Uint8Array | string): WrittenBlob {
    const digest = digestOf(bytes);
    const size = typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.byteLength;
    // A file with the right size is complete: a blob gets its name only when all of it is written.
    if (this.sizeOf(digest) === size) return { digest, size };
    const temporary = this.#temporary();
    try {
      writeFileSync(temporary, bytes, { mode: 0o600, flag: "wx" });
      this.#holds.add([`blob:${digest}`]);
      renameSync(temporary, this.pathOf(digest));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw storeFailure(`write blob "${digest}"`, error);
    }
    return { digest, size };
  }

  async write(
    stream: AsyncIterable<Uint8Array>,
    { expected, onStart }: { readonly expected?: ExpectedBlob; readonly onStart?: (blob: GrowingBlob) => void },
    signal: AbortSignal,
  ): Promise<WrittenBlob> {
    const temporary = this.#temporary();
    const digester = new Digester();
    const growth = onStart === undefined ? undefined : new BlobGrowth(temporary);
    if (growth !== undefined) onStart?.(growth);
    try {
      await receive(stream, { file: temporary, flags: "wx", digester, expected, growth }, signal);
      const written = this.#finish(temporary, digester, expected);
      growth?.completed(this.pathOf(written.digest));
      return written;
    } catch (error) {
      growth?.failed(error);
      await rm(temporary, { force: true });
      throw storeFailure(expected === undefined ? "write a blob" : `write blob "${expected.digest}"`, error);
    }
  }

  async fill<T extends WrittenBlob>(write: (fd: number) => Promise<T>): Promise<T> {
    const temporary = this.#temporary();
    try {
      await using file = await open(temporary, "wx", 0o600);
      const written = await write(file.fd);
      this.#keep(temporary, written);
      return written;
    } catch (error) {
      await rm(temporary, { force: true });
      throw storeFailure("write a blob", error);
    }
  }

  async download(
    expected: ExpectedBlob,
    from: (offsetBytes: number, signal: AbortSignal) => Promise<Readable>,
    signal: AbortSignal,
  ): Promise<WrittenBlob> {
    if (this.sizeOf(expected.digest) === expected.size) return expected;
    // Another process may be downloading the same blob into the same partial file: then we take its result.
    const leasePath = join(this.#leases, `download-${hexOf(expected.digest).slice(0, 40)}`);
    const { lock } = await fileLock(this.#calls, leasePath, () => "exclusive", signal);
    using _lease = lock;
    if (this.sizeOf(expected.digest) === expected.size) return expected;
    const partial = `${this.pathOf(expected.digest)}.partial`;
    this.#holds.claim([`blob:${basename(partial)}`]);
    try {
      const digester = resume(partial, expected);
      if (digester.sizeBytes < expected.size) {
        const source = await from(digester.sizeBytes, signal);
        await receive(source, { file: partial, flags: "a", digester, expected }, signal);
      } else {
        // An empty blob is a file too.
        closeSync(openSync(partial, "a", 0o600));
      }
      return this.#finish(partial, digester, expected);
    } catch (error) {
      // A wrong file stays wrong: only a truncated download is worth resuming.
      if (error instanceof BuildError && error.code === "digest/mismatch") await rm(partial, { force: true });
      throw storeFailure(`write blob "${expected.digest}"`, error);
    }
  }

  async remove(digest: Digest): Promise<void> {
    await rm(this.pathOf(digest), { force: true, recursive: true });
  }

  /** Reserves a new name that no collection removes. */
  #temporary(): string {
    const name = `new-${randomUUID()}`;
    this.#holds.claim([`blob:${name}`]);
    return join(this.#directory, name);
  }

  #finish(temporary: string, digester: Digester, expected: ExpectedBlob | undefined): WrittenBlob {
    const size = digester.sizeBytes;
    const digest = digester.digest();
    if (expected !== undefined && (digest !== expected.digest || size !== expected.size)) {
      throw new BuildError(
        "digest/mismatch",
        `Cannot keep blob "${expected.digest}": what arrived has ${size} of ${expected.size} bytes and digest "${digest}"`,
        {
          hint: "the source or the connection altered it: try again, and if it stays so, tell the operator of the source",
        },
      );
    }
    return this.#keep(temporary, { digest, size });
  }

  #keep(temporary: string, written: WrittenBlob): WrittenBlob {
    // Not flushed to the disk, which would cost seconds for large layers. A process may die at any instruction without
    // harm. After a power failure a short or empty file does not have the size or digest that its readers expect.
    this.#holds.add([`blob:${written.digest}`]);
    // Replaces an equal blob that another process finished first, without any change.
    renameSync(temporary, this.pathOf(written.digest));
    return written;
  }
}

/**
 * Writes a stream into a file, digesting it on the way. It does not use `pipeline`: when the source breaks off, that
 * drops the file stream's unwritten data, and every byte that came over a network is worth keeping.
 */
async function receive(
  source: AsyncIterable<Uint8Array>,
  target: {
    readonly file: string;
    readonly flags: "wx" | "a";
    readonly digester: Digester;
    readonly expected: ExpectedBlob | undefined;
    readonly growth?: BlobGrowth | undefined;
  },
  signal: AbortSignal,
): Promise<void> {
  const { digester, expected, growth } = target;
  await using file = await open(target.file, target.flags, 0o600);
  // The signal wakes a stream that waits for a source; a generator of chunks has the signal itself.
  const chunks = source instanceof Readable ? (addAbortSignal(signal, source) as AsyncIterable<Buffer>) : source;
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    digester.update(chunk);
    if (expected !== undefined && digester.sizeBytes > expected.size) {
      throw new BuildError(
        "digest/mismatch",
        `Cannot keep blob "${expected.digest}": more than its ${expected.size} bytes arrived`,
      );
    }
    await writeAll(file, chunk);
    growth?.grew(digester.sizeBytes);
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  // A full disk may take a part before it refuses the rest.
  for (let done = 0; done < chunk.byteLength;) {
    done += (await file.write(chunk, done, chunk.byteLength - done)).bytesWritten;
  }
}

/**
 * Digests the result of an earlier download. The state of a digest cannot be kept on disk, so the bytes are read again.
 */
function resume(partial: string, expected: ExpectedBlob): Digester {
  const digester = new Digester();
  let fd: number;
  try {
    fd = openSync(partial, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return digester;
    throw error;
  }
  try {
    if (fstatSync(fd).size > expected.size) {
      truncateSync(partial, 0);
      return digester;
    }
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer))
      digester.update(buffer.subarray(0, count));
    return digester;
  } finally {
    closeSync(fd);
  }
}

function missingBlob(digest: Digest): BuildError {
  return new BuildError("store/corrupt", `Cannot read blob "${digest}": the store has no such blob`, {
    hint: 'run "kiln fsck --repair"',
  });
}

function damagedBlob(digest: Digest): BuildError {
  return new BuildError("store/corrupt", `Cannot read blob "${digest}": its bytes do not have that digest`, {
    hint: 'run "kiln fsck --repair": what is damaged is removed and fetched or built again',
  });
}
