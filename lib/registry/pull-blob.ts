import { Readable } from "node:stream";
import { Digester } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { type Purpose, refused, unreachable } from "./failure.ts";
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
  /** Sends one GET; `range` is the value of its Range header. `accept` turns an answer into the body, or throws. */
  request(
    range: string | undefined,
    accept: (response: HttpResponse) => Promise<Readable>,
    signal: AbortSignal,
  ): Promise<Readable>;
}

/** Downloads a blob. The first request is answered before this returns, so that a missing blob is an error here. */
export async function downloadBlob(download: BlobDownload, signal: AbortSignal): Promise<Readable> {
  const first = await openAt(download, download.offsetBytes, signal);
  const stream = Readable.from(bytesOf(download, first, signal), { objectMode: false, highWaterMark: 1 << 20 });
  // A reader that leaves at an abort does not see the stream's later error, which would end the process.
  stream.on("error", () => undefined);
  // Reading may begin much later, or never.
  stream.once("close", () => first.destroy());
  return stream;
}

async function* bytesOf(download: BlobDownload, first: Readable, signal: AbortSignal): AsyncGenerator<Buffer> {
  const { blob, purpose, check } = download;
  const digester = check === "digest" ? new Digester() : undefined;
  let at = download.offsetBytes;
  let body = first;
  for (let stalls = 0; ;) {
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        at += chunk.length;
        if (at > blob.size) throw wrongBytes(purpose, blob, `more than its ${blob.size} bytes arrived`);
        digester?.update(chunk);
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
    }
    body = await openAt(download, at, signal);
  }
  if (digester !== undefined && digester.digest() !== blob.digest) {
    throw wrongBytes(purpose, blob, "the bytes that arrived do not have its digest");
  }
}

/** Opens the blob's body at an offset, also from servers that ignore ranges and send all of it. */
async function openAt(download: BlobDownload, offset: number, signal: AbortSignal): Promise<Readable> {
  if (offset > 0 && offset === download.blob.size) return Readable.from([]);
  const range = offset === 0 ? undefined : `bytes=${offset}-`;
  return download.request(range, (response) => bodyFrom(download, offset, response), signal);
}

async function bodyFrom({ purpose }: BlobDownload, offset: number, response: HttpResponse): Promise<Readable> {
  if (response.status !== 200 && response.status !== 206) {
    throw refused(purpose, { status: response.status, body: await textOf(response, 64 << 10) });
  }
  if (offset === 0) return response.body;
  if (response.status === 206) {
    const start = /^bytes (\d+)-/.exec(headerOf(response, "content-range") ?? "")?.[1];
    if (start === String(offset)) return response.body;
    response.body.destroy();
    throw new BuildError(
      "registry/malformed",
      `Cannot ${purpose.doing}: asked for bytes from ${offset} on, the registry sent another range`,
    );
  }
  return Readable.from(without(response.body, offset));
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
