import { spawn } from "node:child_process";
import { addAbortSignal, type Readable, Readable as ReadableStream } from "node:stream";
import type { Compression } from "../core/oci.ts";
import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { checkGzipTrailer, CompressedInput, hasMember, skipGzipHeader } from "./members.ts";

/** The compression of a stream, by its first bytes. `none` may be a tar or anything else. */
export type CompressionKind = "none" | "gzip" | "zstd" | "bzip2" | "xz";

/** Number of bytes that `detectCompression` needs; fewer are fine at the end of a stream. */
const DETECT_BYTES = 6;

const MAGIC: readonly (readonly [CompressionKind, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

export function detectCompression(firstBytes: Uint8Array): CompressionKind {
  // A skippable frame, which some zstd writers put first: 0x184D2A50 to 0x184D2A5F, little endian. RFC 8878, 3.1.2.
  if (
    ((firstBytes[0] ?? 0) & 0xf0) === 0x50 &&
    firstBytes[1] === 0x2a &&
    firstBytes[2] === 0x4d &&
    firstBytes[3] === 0x18
  ) {
    return "zstd";
  }
  return MAGIC.find(([, magic]) => magic.every((byte, at) => firstBytes[at] === byte))?.[0] ?? "none";
}

/**
 * Returns the compression's name in a layer's media type.
 * @throws {BuildError} `archive/unsupported` for those that layers may not have
 */
export function layerCompression(kind: CompressionKind): Compression {
  if (kind === "none") return "uncompressed";
  if (kind === "gzip" || kind === "zstd") return kind;
  throw new BuildError("archive/unsupported", `Cannot use ${kind} for a layer: only gzip and zstd are allowed`);
}

/** Detects a stream's compression from its start; `stream` is the whole stream again, first bytes included. */
export async function sniffCompression(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<{ readonly kind: CompressionKind; readonly stream: AsyncGenerator<Uint8Array, void> }> {
  // A stream that is ended by the signal before anybody reads it tells its error to nobody, which ends the process.
  signal.throwIfAborted();
  // The sender may stall forever.
  if (source instanceof ReadableStream) addAbortSignal(signal, source);
  const iterator = source[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  let length = 0;
  while (length < DETECT_BYTES) {
    signal.throwIfAborted();
    const next = await iterator.next();
    if (next.done === true) break;
    head.push(next.value);
    length += next.value.byteLength;
  }
  async function* whole(): AsyncGenerator<Uint8Array, void> {
    try {
      yield* head;
      for (;;) {
        const next = await iterator.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  }
  return { kind: detectCompression(Buffer.concat(head)), stream: whole() };
}

/**
 * Decompresses a stream. gzip and zstd may have several members or frames; damage is an error, and so is a truncated
 * stream.
 * @throws {BuildError} (from the stream) `archive/malformed`, or `archive/unsupported` when bzip2 or xz is needed and
 * not installed
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  kind: CompressionKind,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  switch (kind) {
    case "none":
      yield* source;
      return;
    case "gzip":
    case "zstd":
      yield* throughZlib(source, kind, signal);
      return;
    case "bzip2":
    case "xz":
      yield* throughProgram(source, kind, signal);
  }
}

const CHUNK = 256 << 10;

async function* throughZlib(
  source: AsyncIterable<Uint8Array>,
  kind: "gzip" | "zstd",
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  signal.throwIfAborted();
  const input = new CompressedInput(source);
  try {
    for (let isFirst = true; await hasMember(input, kind, isFirst); isFirst = false) {
      if (kind === "gzip") yield* gzipMember(input, signal);
      else yield* throughDecoder(input, kind, signal);
    }
  } finally {
    await input.close();
  }
}

/**
 * Reads a member by its parts: when garbage follows a member in a chunk, Node's own reader does not even return the
 * member.
 */
async function* gzipMember(input: CompressedInput, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  const { crc32 } = process.getBuiltinModule("node:zlib");
  await skipGzipHeader(input);
  let crc = 0;
  let sizeBytes = 0;
  for await (const piece of throughDecoder(input, "gzip", signal)) {
    crc = crc32(piece, crc);
    sizeBytes += piece.byteLength;
    yield piece;
  }
  await checkGzipTrailer(input, crc, sizeBytes);
}

/** Decodes one deflate stream or zstd frame. The rest of the last chunk is given back to the input. */
async function* throughDecoder(
  input: CompressedInput,
  kind: "gzip" | "zstd",
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  const zlib = process.getBuiltinModule("node:zlib");
  const options = { chunkSize: CHUNK };
  const decoder = kind === "gzip" ? zlib.createInflateRaw(options) : zlib.createZstdDecompress(options);
  const abort = (): void => void decoder.destroy(abortError(signal));
  let sourceError: { readonly error: unknown } | undefined;
  const feed = async (): Promise<void> => {
    let given = 0;
    while (!decoder.readableEnded && !decoder.destroyed) {
      const piece = await input.next().catch((error: unknown) => {
        sourceError = { error };
        throw error;
      });
      if (piece === undefined) return void decoder.end();
      given += piece.length;
      await new Promise<void>((resolve, reject) => {
        decoder.write(piece, (error) => (error instanceof Error ? reject(error) : resolve()));
      });
      const unused = given - decoder.bytesWritten;
      if (unused > 0) {
        input.unread(piece.subarray(piece.length - unused));
        return;
      }
    }
  };
  signal.addEventListener("abort", abort, { once: true });
  try {
    const fed = feed().catch(
      (error: unknown) => void decoder.destroy(error instanceof Error ? error : new Error(messageOf(error))),
    );
    yield* decoder as AsyncIterable<Uint8Array>;
    await fed;
  } catch (error) {
    signal.throwIfAborted();
    if (sourceError !== undefined) throw sourceError.error;
    throw new BuildError("archive/malformed", `Cannot decompress (${kind}): ${messageOf(error)}`, { cause: error });
  } finally {
    signal.removeEventListener("abort", abort);
    decoder.destroy();
  }
}

/**
 * Pipes through `bzip2 -dc` or `xz -dc`, which have no counterpart in Node. They get no arguments and no files of ours,
 * only bytes.
 */
async function* throughProgram(
  source: AsyncIterable<Uint8Array>,
  program: "bzip2" | "xz",
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  signal.throwIfAborted();
  const child = spawn(program, ["-dc"], { stdio: ["pipe", "pipe", "pipe"], signal });
  const complaint = gather(child.stderr);
  const exited = new Promise<number | undefined>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? undefined));
  });
  exited.catch(() => undefined);
  const input = ReadableStream.from(source, { objectMode: false });
  // The program closing its input early (damage, trailing bytes) shows in its exit status.
  child.stdin.on("error", () => input.destroy());
  let sourceError: { readonly error: unknown } | undefined;
  input.on("error", (error) => {
    sourceError = { error };
    child.kill();
  });
  input.pipe(child.stdin);
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>;
    const status = await exited;
    if (sourceError !== undefined) throw sourceError.error;
    if (status !== 0) {
      throw new BuildError(
        "archive/malformed",
        `Cannot decompress (${program}): ${(await complaint).trim() || "it failed"}`,
      );
    }
  } catch (error) {
    signal.throwIfAborted();
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new BuildError(
      "archive/unsupported",
      `Cannot decompress (${program}): the program "${program}" is not installed`,
      {
        hint: `install ${program === "xz" ? "xz-utils" : program}, or use gzip or zstd`,
        cause: error,
      },
    );
  } finally {
    input.destroy();
    child.kill();
  }
}

async function gather(stream: Readable): Promise<string> {
  let text = "";
  for await (const chunk of stream) text = `${text}${String(chunk)}`.slice(-2000);
  return text;
}

function abortError(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error("Cancelled");
}
