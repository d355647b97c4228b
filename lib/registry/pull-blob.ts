import { Readable } from "node:stream";
import { Digester } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { type Purpose, refused, unreachable } from "./failure.ts";
import { inPieces, LEAST_PIECED_BYTES, type OpenPiece, PIECE_BYTES, type PieceRight } from "./pull-pieces.ts";
import type { BlobId, Timer } from "./registry.ts";
import { headerOf, type HttpResponse, textOf } from "./transport.ts";

/** Limit of consecutive broken connections without a byte between them, after which a download fails. */
const MAX_STALLS = 5;
const FIRST_PAUSE_MS = 250;

export interface BlobDownload {
  readonly blob: BlobId;
  readonly purpose: Purpose;
  readonly offsetBytes: number;
  /** `digest` checks size and digest at the end, for downloads from the beginning. */
  readonly check: "digest" | "none";
  readonly timer: Timer;
  readonly pieces: PieceRight;
  /** Sends one GET. `accept` turns an answer into the body, or throws. */
  request(
    asked: BlobRequest,
    accept: (response: HttpResponse) => Promise<Readable>,
    signal: AbortSignal,
  ): Promise<Readable>;
}

export interface BlobRequest {
  /** Value of the Range header. */
  readonly range: string | undefined;
  /** `another`: the connection before this one broke off. `piece`: one of several at the same time. */
  readonly kind: "first" | "piece" | "another";
}

/** The first answer: a body to the end, or only the first piece. */
interface First {
  readonly body: Readable;
  readonly isPiece: boolean;
}

/**
 * Downloads a blob. The first request is answered before this returns, so that a missing blob is an error here. A large
 * one comes over several connections where the server sends parts.
 */
export async function downloadBlob(download: BlobDownload, signal: AbortSignal): Promise<Readable> {
  const { blob, offsetBytes } = download;
  const giveBack = blob.size - offsetBytes >= LEAST_PIECED_BYTES ? download.pieces.take() : undefined;
  try {
    const first =
      giveBack === undefined
        ? { body: await openAt(download, offsetBytes, "first", signal), isPiece: false }
        : await openFirst(download, signal);
    if (!first.isPiece) giveBack?.();
    const closed = new AbortController();
    const bytes = bytesOf(download, first, AbortSignal.any([signal, closed.signal]));
    const stream = Readable.from(bytes, { objectMode: false, highWaterMark: 1 << 20 });
    // A reader that leaves at an abort does not see the stream's later error, which would end the process.
    stream.on("error", () => undefined);
    // Reading may begin much later, or never.
    stream.once("close", () => {
      first.body.destroy();
      closed.abort(new Error("The bytes are not read any more"));
      giveBack?.();
    });
    return stream;
  } catch (error) {
    giveBack?.();
    throw error;
  }
}

/** Streams the rest of the blob, and checks it. */
async function* bytesOf(download: BlobDownload, first: First, signal: AbortSignal): AsyncGenerator<Buffer> {
  const { blob, purpose, check } = download;
  const digester = check === "digest" ? new Digester() : undefined;
  let at = download.offsetBytes;
  const counted = (chunk: Buffer): Buffer => {
    at += chunk.length;
    if (at > blob.size) throw wrongBytes(purpose, blob, `more than its ${blob.size} bytes arrived`);
    digester?.update(chunk);
    return chunk;
  };
  if (first.isPiece) {
    const open: OpenPiece = (offset, end, inner) => openPiece(download, { offset, end }, inner);
    const part = { offsetBytes: at, endBytes: blob.size };
    for await (const chunk of inPieces(first.body, part, open, signal)) yield counted(chunk);
  }
  let body = first.isPiece ? undefined : first.body;
  for (let stalls = 0; at < blob.size || body !== undefined;) {
    signal.throwIfAborted();
    body ??= await openAt(download, at, "another", signal);
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        counted(chunk);
        stalls = 0;
        yield chunk;
      }
      if (at === blob.size) break;
      // HTTP without a length ends with the connection: a short body is a broken connection too.
      throw new Error(`the connection ended after ${at} of ${blob.size} bytes`);
    } catch (error) {
      signal.throwIfAborted();
      stalls += 1;
      if (error instanceof BuildError || stalls > MAX_STALLS) throw unreachable(purpose, error);
      if (stalls > 1) await download.timer.wait(FIRST_PAUSE_MS * 2 ** (stalls - 1), signal);
      body = undefined;
      // All bytes came, and the connection broke at their end.
      if (at === blob.size) break;
    }
  }
  if (digester !== undefined && digester.digest() !== blob.digest) {
    throw wrongBytes(purpose, blob, "the bytes that arrived do not have its digest");
  }
}

/** Asks for the first piece. A server that knows no ranges, or no ends of them, sends everything. */
async function openFirst(download: BlobDownload, signal: AbortSignal): Promise<First> {
  const { blob, offsetBytes: from } = download;
  const end = from + PIECE_BYTES;
  let isPiece = false;
  const accept = async (response: HttpResponse): Promise<Readable> => {
    const range = rangeOf(response);
    isPiece = response.status === 206 && range?.first === from && range.end === end && range.total === blob.size;
    return bodyFrom(download, from, response);
  };
  const body = await download.request({ range: `bytes=${from}-${end - 1}`, kind: "first" }, accept, signal);
  return { body, isPiece };
}

/** Opens one of the other pieces. */
async function openPiece(
  download: BlobDownload,
  { offset, end }: { readonly offset: number; readonly end: number },
  signal: AbortSignal,
): Promise<Readable> {
  const accept = (response: HttpResponse): Promise<Readable> => {
    if (response.status === 206) return bodyFrom(download, offset, response);
    response.body.destroy();
    throw new Error("no part came");
  };
  return download.request({ range: `bytes=${offset}-${end - 1}`, kind: "piece" }, accept, signal);
}

/** Opens the blob's body at an offset, also from servers that ignore ranges and send all of it. */
async function openAt(
  download: BlobDownload,
  offset: number,
  kind: "first" | "another",
  signal: AbortSignal,
): Promise<Readable> {
  if (offset > 0 && offset === download.blob.size) return Readable.from([]);
  const range = offset === 0 ? undefined : `bytes=${offset}-`;
  return download.request({ range, kind }, (response) => bodyFrom(download, offset, response), signal);
}

async function bodyFrom({ purpose }: BlobDownload, offset: number, response: HttpResponse): Promise<Readable> {
  if (response.status !== 200 && response.status !== 206) {
    throw refused(purpose, { status: response.status, body: await textOf(response, 64 << 10) });
  }
  if (response.status === 206) {
    const first = rangeOf(response)?.first ?? (offset === 0 ? 0 : undefined);
    if (first === offset) return response.body;
    response.body.destroy();
    throw new BuildError(
      "registry/malformed",
      `Cannot ${purpose.doing}: asked for bytes from ${offset} on, the registry sent another range`,
    );
  }
  return offset === 0 ? response.body : Readable.from(without(response.body, offset));
}

/** Reads an answer's range; `end` is the offset behind it. */
function rangeOf(
  response: HttpResponse,
): { readonly first: number; readonly end: number; readonly total: number } | undefined {
  const found = /^bytes (\d+)-(\d*)(?:\/(\d+))?/.exec(headerOf(response, "content-range") ?? "");
  // What is not there is not a number, and equals none.
  const [first, last, total] = (found?.slice(1) ?? []).map((digits: string | undefined) =>
    Number.parseInt(digits ?? "", 10),
  );
  return first === undefined || last === undefined || total === undefined ? undefined : { first, end: last + 1, total };
}

async function* without(body: Readable, count: number): AsyncGenerator<Buffer> {
  let left = count;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if (left < chunk.length) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

function wrongBytes(purpose: Purpose, blob: BlobId, what: string): BuildError {
  return new BuildError("digest/mismatch", `Cannot ${purpose.doing}: blob "${blob.digest}": ${what}`, {
    hint: "the registry or something on the way to it altered the blob: try again, and if it stays so, push the image anew",
  });
}
