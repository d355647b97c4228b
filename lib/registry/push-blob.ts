import { Readable } from "node:stream";
import type { Digest } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { isPassing, type Purpose, refused, unreachable } from "./failure.ts";
import type { BlobSource, StreamedBlob, Timer } from "./registry.ts";
import { headerOf, type HttpRequest, type HttpResponse, retryAfterMs, textOf } from "./transport.ts";

const MAX_ATTEMPTS = 4;
const FIRST_PAUSE_MS = 500;
/** Below the limits that proxies in front of registries are known to set for one request. */
const PIECE_BYTES = 16 << 20;

/** Where blobs are uploaded to. */
export interface UploadTarget {
  readonly purpose: Purpose;
  /** `/v2/<name>/blobs/uploads/`. */
  readonly uploads: URL;
  request(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse>;
}

export interface BlobUpload extends UploadTarget {
  readonly blob: BlobSource;
  readonly timer: Timer;
}

/**
 * Uploads a blob: an upload is opened by POST and filled by one PUT. A broken connection begins a new upload. Where the
 * body is refused as a whole (413, and 4xx of registries that know only pieces), it is sent in pieces by PATCH.
 */
export async function uploadBlob(upload: BlobUpload, signal: AbortSignal): Promise<void> {
  const { purpose } = upload;
  let how: "whole" | "pieces" = "whole";
  for (let attempt = 1; ; attempt += 1) {
    let failure: unknown;
    let pauseMs = FIRST_PAUSE_MS * 2 ** (attempt - 1);
    try {
      const location = await beginUpload(upload, signal);
      const response =
        how === "whole" ? await putWhole(upload, location, signal) : await putPieces(upload, location, signal);
      const body = await textOf(response, 64 << 10);
      if (response.status === 201 || response.status === 204) return;
      failure = refused(purpose, { status: response.status, body });
      const isForPieces = how === "whole" && [400, 404, 405, 411, 413, 415, 416, 501].includes(response.status);
      // One of several servers does not know an upload that another began, or knows less of it.
      const isLost = how === "pieces" && [404, 416].includes(response.status);
      if (!isForPieces && !isLost && !isPassing(response.status)) throw failure;
      if (isForPieces) how = "pieces";
      pauseMs = retryAfterMs(response) ?? pauseMs;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof BuildError && error.code !== "registry/unreachable") throw error;
      failure = unreachable(purpose, error);
      // A proxy that limits bodies may just close the connection on one that is too large.
      if (attempt === MAX_ATTEMPTS - 2) how = "pieces";
    }
    if (attempt === MAX_ATTEMPTS) throw failure;
    await upload.timer.wait(pauseMs, signal);
  }
}

/**
 * Uploads bytes whose digest nobody knows before their end: POST, one PATCH of unknown length, and at `finish` the PUT that
 * names the digest. Such a body cannot be sent twice, so a failure is the caller's to mend, with `uploadBlob`.
 * @returns when all bytes are there.
 */
export async function streamBlob(
  target: UploadTarget,
  bytes: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<StreamedBlob> {
  const { purpose } = target;
  const location = await beginUpload(target, signal);
  const request: HttpRequest = {
    method: "PATCH",
    url: location,
    headers: { "content-type": "application/octet-stream" },
    attempts: "one",
    body: { sizeBytes: undefined, open: () => Readable.from(bytes, { objectMode: false, highWaterMark: 1 << 20 }) },
  };
  const response = await target.request(request, signal);
  const body = await textOf(response, 64 << 10);
  if (response.status !== 202) throw refused(purpose, { status: response.status, body });
  const end = locationOf(response, purpose);
  return {
    finish: async (digest, inner) => {
      const put = { method: "PUT", url: finished(end, digest), headers: { "content-length": "0" } } as const;
      const answer = await target.request({ ...put, attempts: "one" }, inner);
      const text = await textOf(answer, 64 << 10);
      if (answer.status !== 201 && answer.status !== 204) throw refused(purpose, { status: answer.status, body: text });
    },
  };
}

/** @returns where to send the bytes. */
async function beginUpload(upload: UploadTarget, signal: AbortSignal): Promise<URL> {
  const response = await upload.request(
    { method: "POST", url: upload.uploads, headers: { "content-length": "0" } },
    signal,
  );
  const body = await textOf(response, 64 << 10);
  if (response.status !== 202) throw refused(upload.purpose, { status: response.status, body });
  return locationOf(response, upload.purpose);
}

async function putWhole(upload: BlobUpload, location: URL, signal: AbortSignal): Promise<HttpResponse> {
  const { blob } = upload;
  const request: HttpRequest = {
    method: "PUT",
    url: finished(location, blob.descriptor.digest),
    headers: { "content-type": "application/octet-stream" },
    attempts: "one",
    body: { sizeBytes: blob.descriptor.size, open: async () => metered(await blob.open(signal), blob, 0) },
  };
  return upload.request(request, signal);
}

async function putPieces(upload: BlobUpload, location: URL, signal: AbortSignal): Promise<HttpResponse> {
  const { blob, purpose } = upload;
  let target = location;
  let sent = 0;
  for await (const piece of piecesOf(await blob.open(signal))) {
    const request: HttpRequest = {
      method: "PATCH",
      url: target,
      headers: { "content-type": "application/octet-stream", "content-range": `${sent}-${sent + piece.length - 1}` },
      attempts: "one",
      body: { sizeBytes: piece.length, open: () => piece },
    };
    const response = await upload.request(request, signal);
    // 202 by the specification, and others of its kind from some.
    if (response.status < 200 || response.status > 299) return response;
    await textOf(response, 64 << 10);
    // Who says nothing of the next place means this one.
    if (headerOf(response, "location") !== undefined) target = locationOf(response, purpose);
    sent += piece.length;
    blob.onProgress?.(sent);
  }
  return upload.request(
    { method: "PUT", url: finished(target, blob.descriptor.digest), headers: { "content-length": "0" } },
    signal,
  );
}

async function* piecesOf(stream: Readable): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    waiting.push(chunk);
    size += chunk.length;
    if (size < PIECE_BYTES) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(waiting);
}

function metered(stream: Readable, blob: BlobSource, before: number): Readable {
  if (blob.onProgress === undefined) return stream;
  let sent = before;
  const counted = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      sent += chunk.length;
      blob.onProgress?.(sent);
      yield chunk;
    }
  };
  const body = Readable.from(counted(), { objectMode: false, highWaterMark: 1 << 20 });
  // A body that nobody began to read would leave what it reads from open.
  body.once("close", () => stream.destroy());
  return body;
}

/** The rest of the query stays byte for byte: it may be signed. */
function finished(location: URL, digest: Digest): URL {
  const url = new URL(location);
  url.search = `${url.search}${url.search === "" ? "?" : "&"}digest=${encodeURIComponent(digest)}`;
  return url;
}

function locationOf(response: HttpResponse, purpose: Purpose): URL {
  const location = headerOf(response, "location");
  if (location === undefined || !URL.canParse(location, response.url.href)) {
    throw new BuildError("registry/malformed", `Cannot ${purpose.doing}: the registry did not say where to upload to`);
  }
  const url = new URL(location, response.url);
  // Registries behind a proxy that ends TLS are known to name themselves by http.
  if (url.host === response.url.host) url.protocol = response.url.protocol;
  return url;
}
