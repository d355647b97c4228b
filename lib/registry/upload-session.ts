import type { Readable } from "node:stream";
import type { Digest } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { isPassing, type Purpose, refused } from "./failure.ts";
import { headerOf, type HttpRequest, type HttpResponse, retryAfterMs, textOf } from "./transport.ts";

/** Bytes of a body of ours are never longer than this in one answer. */
const MAX_ANSWER_BYTES = 64 << 10;
/** Time for telling a registry that an upload is not needed: nobody waits longer for that. */
const CANCEL_MS = 2_000;

/** The destination of uploads. */
export interface UploadTarget {
  readonly purpose: Purpose;
  /** `/v2/<name>/blobs/uploads/`. */
  readonly uploads: URL;
  request(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse>;
}

/** A refusing answer, read to its end. */
export interface Refused {
  readonly status: number;
  readonly body: string;
  /** Pause that the registry asks for. */
  readonly pauseMs: number | undefined;
}

/** Bytes to send; `sizeBytes` is `undefined` where their number is not known before their end. */
export interface UploadBody {
  readonly sizeBytes: number | undefined;
  open(): Readable | Promise<Readable>;
  /** Returns the number of bytes that were taken out so far, for a body of unknown size. */
  readonly takenBytes?: () => number;
}

/**
 * An upload that a registry has opened: its present address, and how many bytes of the blob the registry has. An
 * interrupted one goes on where the registry says that it is.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks
 */
export class UploadSession {
  readonly #target: UploadTarget;
  #location: URL;
  #sizeBytes = 0;
  /** Minimum size of every chunk except the last one. */
  readonly leastChunkBytes: number;

  private constructor(target: UploadTarget, location: URL, leastChunkBytes: number) {
    this.#target = target;
    this.#location = location;
    this.leastChunkBytes = leastChunkBytes;
  }

  /** Opens an upload. */
  static async begin(target: UploadTarget, signal: AbortSignal): Promise<UploadSession> {
    const { purpose, uploads } = target;
    const response = await target.request({ method: "POST", url: uploads, headers: { "content-length": "0" } }, signal);
    const body = await textOf(response, MAX_ANSWER_BYTES);
    if (response.status !== 202) throw refused(purpose, { status: response.status, body });
    const least = Number(headerOf(response, "oci-chunk-min-length") ?? 0);
    return new UploadSession(target, locationOf(response, purpose), Number.isSafeInteger(least) ? least : 0);
  }

  /** Number of the blob's bytes that the registry has, as far as is known. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /**
   * Sends the bytes that follow those that the registry has, by PATCH. It may take fewer: `sizeBytes` says how far it got.
   * @returns the refusing answer; `undefined` for a good one
   */
  async append(body: UploadBody, signal: AbortSignal): Promise<Refused | undefined> {
    const before = this.#sizeBytes;
    const { sizeBytes } = body;
    const range = sizeBytes === undefined ? {} : { "content-range": `${before}-${before + sizeBytes - 1}` };
    const headers = { "content-type": "application/octet-stream", ...range };
    const request = { method: "PATCH", url: this.#location, headers, attempts: "one", body } as const;
    const response = await this.#target.request(request, signal);
    // The specification says 202; some registries send other 2xx.
    if (response.status < 200 || response.status > 299) return refusedBy(response);
    await textOf(response, MAX_ANSWER_BYTES);
    this.#move(response);
    const expected = before + (sizeBytes ?? body.takenBytes?.() ?? 0);
    const end = endOf(response);
    if (end === undefined || end >= expected) this.#sizeBytes = expected;
    else if (end > before && end > 1) this.#sizeBytes = end;
    // Nothing was taken, or the header says nothing: `0-0` is also the range of a registry that does not count.
    else if (!(await this.refresh(signal)) || this.#sizeBytes > expected) this.#sizeBytes = expected;
    return undefined;
  }

  /**
   * Asks how many bytes the registry has.
   * @returns false when it does not tell
   */
  async refresh(signal: AbortSignal): Promise<boolean> {
    try {
      const request = { method: "GET", url: this.#location, headers: {}, attempts: "one" } as const;
      const response = await this.#target.request(request, signal);
      await textOf(response, MAX_ANSWER_BYTES);
      const end = endOf(response);
      if (response.status < 200 || response.status > 299 || end === undefined) return false;
      this.#move(response);
      // An empty upload has no range that the header could express.
      this.#sizeBytes = end === 1 ? 0 : end;
      return true;
    } catch {
      signal.throwIfAborted();
      // A new upload meets the failure again, and reports it.
      return false;
    }
  }

  /**
   * Names the blob, with all its bytes or after the last ones.
   * @returns the refusing answer; `undefined` when the registry has the blob
   */
  async finish(digest: Digest, body: UploadBody | undefined, signal: AbortSignal): Promise<Refused | undefined> {
    const headers: Record<string, string> =
      body === undefined ? { "content-length": "0" } : { "content-type": "application/octet-stream" };
    const url = finished(this.#location, digest);
    const more = body === undefined ? {} : { body };
    const response = await this.#target.request({ method: "PUT", url, headers, attempts: "one", ...more }, signal);
    if (response.status !== 201 && response.status !== 204) return refusedBy(response);
    await textOf(response, MAX_ANSWER_BYTES);
    return undefined;
  }

  /** Tells the registry that the upload is not needed. A registry that does not hear it discards the upload later. */
  async cancel(): Promise<void> {
    const signal = AbortSignal.timeout(CANCEL_MS);
    const request = { method: "DELETE", url: this.#location, headers: {}, attempts: "one" } as const;
    await this.#target.request(request, signal).then(
      (response) => void response.body.destroy(),
      () => undefined,
    );
  }

  #move(response: HttpResponse): void {
    // An answer without a location means the same URL again.
    if (headerOf(response, "location") !== undefined) this.#location = locationOf(response, this.#target.purpose);
  }
}

/** Tells whether a refusal may be another one after a pause. */
export function isPassingRefusal({ status }: Refused): boolean {
  return isPassing(status);
}

async function refusedBy(response: HttpResponse): Promise<Refused> {
  const pauseMs = retryAfterMs(response);
  return { status: response.status, body: await textOf(response, MAX_ANSWER_BYTES), pauseMs };
}

/** Returns the number of bytes before the end of the answer's range: 1000 for `0-999`. */
function endOf(response: HttpResponse): number | undefined {
  const last = /^(?:bytes[= ])?\d+-(\d+)/.exec(headerOf(response, "range") ?? "")?.[1];
  return last === undefined ? undefined : Number(last) + 1;
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
