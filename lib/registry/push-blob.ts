import { Readable } from "node:stream";
import type { Digest } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { isPassing, type Purpose, refused, unreachable } from "./failure.ts";
import type { BlobSource, StreamedBlob, Timer } from "./registry.ts";
import { headerOf, type HttpRequest, type HttpResponse, retryAfterMs, textOf } from "./transport.ts";

const MAX_ATTEMPTS = 4;
const FIRST_PAUSE_MS = 500;
/** Size of a chunk, below the known limits of proxies in front of registries for one request. */
const CHUNK_BYTES = 16 << 20;

/** The destination of uploads. */
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
 * Uploads a blob: POST opens an upload, one PUT fills it. A broken connection begins a new upload. Where the registry
 * refuses the whole body (413, and 4xx of registries that take only chunks), it is sent in chunks by PATCH.
 */
export async function uploadBlob(upload: BlobUpload, signal: AbortSignal): Promise<void> {
  const { purpose } = upload;
  let how: "whole" | "chunks" = "whole";
  for (let attempt = 1; ; attempt += 1) {
    let failure: unknown;
    let pauseMs = FIRST_PAUSE_MS * 2 ** (attempt - 1);
    try {
      const location = await beginUpload(upload, signal);
      const response =
        how === "whole" ? await putWhole(upload, location, signal) : await putChunks(upload, location, signal);
      const body = await textOf(response, 64 << 10);
      if (response.status === 201 || response.status === 204) return;
      failure = refused(purpose, { status: response.status, body });
      const isForChunks = how === "whole" && [400, 404, 405, 411, 413, 415, 416, 501].includes(response.status);
      // One of several servers may not know another's upload, or not all of it.
      const isLost = how === "chunks" && [404, 416].includes(response.status);
      if (!isForChunks && !isLost && !isPassing(response.status)) throw failure;
      if (isForChunks) how = "chunks";
      pauseMs = retryAfterMs(response) ?? pauseMs;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof BuildError && error.code !== "registry/unreachable") throw error;
      failure = unreachable(purpose, error);
      // A proxy that limits bodies may simply close the connection on a larger one.
      if (attempt === MAX_ATTEMPTS - 2) how = "chunks";
    }
    if (attempt === MAX_ATTEMPTS) throw failure;
    await upload.timer.wait(pauseMs, signal);
  }
}

/**
 * Uploads bytes before their digest is known: POST, one PATCH of unknown length, and at `finish` the PUT that names the
 * digest. Such a body cannot be sent twice, so the caller handles a failure, with `uploadBlob`.
 * @returns when all bytes are there
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

/**
 * Opens an upload.
 * @returns the URL for the bytes
 */
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

async function putChunks(upload: BlobUpload, location: URL, signal: AbortSignal): Promise<HttpResponse> {
  const { blob, purpose } = upload;
  let target = location;
  let sent = 0;
  for await (const chunk of chunksOf(await blob.open(signal))) {
    const request: HttpRequest = {
      method: "PATCH",
      url: target,
      headers: { "content-type": "application/octet-stream", "content-range": `${sent}-${sent + chunk.length - 1}` },
      attempts: "one",
      body: { sizeBytes: chunk.length, open: () => chunk },
    };
    const response = await upload.request(request, signal);
    // The specification says 202; some registries send other 2xx.
    if (response.status < 200 || response.status > 299) return response;
    await textOf(response, 64 << 10);
    // An answer without a location means the same URL again.
    if (headerOf(response, "location") !== undefined) target = locationOf(response, purpose);
    sent += chunk.length;
    blob.onProgress?.(sent);
  }
  return upload.request(
    { method: "PUT", url: finished(target, blob.descriptor.digest), headers: { "content-length": "0" } },
    signal,
  );
}

async function* chunksOf(stream: Readable): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let size = 0;
  for await (const data of stream as AsyncIterable<Buffer>) {
    waiting.push(data);
    size += data.length;
    if (size < CHUNK_BYTES) continue;
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
    for await (const data of stream as AsyncIterable<Buffer>) {
      sent += data.length;
      blob.onProgress?.(sent);
      yield data;
    }
  };
  const body = Readable.from(counted(), { objectMode: false, highWaterMark: 1 << 20 });
  // A body that is never read would leave its source open.
  body.once("close", () => stream.destroy());
  return body;
}

/** Adds the digest to the query. The rest stays byte for byte, because it may be signed. */
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
  // Registries behind a proxy that terminates TLS may give their own URL as http.
  if (url.host === response.url.host) url.protocol = response.url.protocol;
  return url;
}
