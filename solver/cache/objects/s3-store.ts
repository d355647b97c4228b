import type { Readable } from "node:stream";
import { digestOf, hexOf } from "../../../lib/core/digest.ts";
import { headerOf, type HttpResponse, type Transport } from "../../../lib/registry/transport.ts";
import { ObjectHttp, type ObjectRequest } from "./object-http.ts";
import type { NewObject, ObjectName, ObjectStore } from "./object-store.ts";
import { type Part, sendParts } from "./parts.ts";
import type { S3Settings } from "./s3-settings.ts";
import { objectUrl, signedHeaders } from "./s3-signature.ts";

/** Size of a part of an upload; larger objects have larger parts, as there may be 10,000. S3's least is 5 MiB. */
const PART_BYTES = 16 << 20;
const MAX_PARTS = 10_000;
/** S3 copies no larger objects in one request. */
const MAX_COPY_BYTES = 5 * 2 ** 30;
const EMPTY_HEX = hexOf(digestOf(""));

interface S3Request {
  readonly method: ObjectRequest["method"];
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: { readonly bytes: Buffer } | NewObject;
  /** Default: 200 only. */
  readonly accepted?: readonly number[];
}

/** Objects in a bucket of S3, or of a server that speaks its protocol. */
export class S3Store implements ObjectStore {
  readonly #settings: S3Settings;
  readonly #clock: { nowMs(): number };
  readonly #http: ObjectHttp;

  constructor(settings: S3Settings, transport: Transport, clock: { nowMs(): number }) {
    this.#settings = settings;
    this.#clock = clock;
    const { secretAccessKey, sessionToken } = settings.credentials;
    this.#http = new ObjectHttp(transport, {
      service: "S3",
      secrets: [secretAccessKey, ...(sessionToken === undefined ? [] : [sessionToken])],
      reasonIn: (body) => {
        const reasons = [elementOf(body, "Code"), elementOf(body, "Message")].filter((text) => text !== undefined);
        return reasons.length === 0 ? undefined : reasons.join(": ");
      },
      hintFor: (status, reason) => hintFor(status, reason, settings),
    });
  }

  async get(name: ObjectName, offsetBytes: number, signal: AbortSignal): Promise<Readable | undefined> {
    const [key = ""] = this.#keysOf(name);
    return this.#http.open(this.#signed({ method: "GET", key }, signal), offsetBytes, signal);
  }

  async has(name: ObjectName, signal: AbortSignal): Promise<"no" | "yes" | "renewed"> {
    // The first question is a GET: only an answer with a body says why it refuses.
    const method = name.kind === "cache" ? "GET" : "HEAD";
    const found = await Promise.all(this.#keysOf(name).map((key) => this.#find(method, key, signal)));
    if (found.includes("no")) return "no";
    return found.includes("renewed") ? "renewed" : "yes";
  }

  async put(name: ObjectName, object: NewObject, signal: AbortSignal): Promise<void> {
    for (const key of this.#keysOf(name)) {
      if (object.sizeBytes <= PART_BYTES) await this.#done({ method: "PUT", key, body: object }, signal);
      else await this.#putInParts(key, object, signal);
    }
  }

  async hasBuildKitCache(signal: AbortSignal): Promise<boolean> {
    const key = `${this.#settings.manifestsPrefix}${this.#settings.names[0] ?? ""}`;
    const response = await this.#send({ method: "HEAD", key, accepted: [200, 404] }, signal);
    response.body.destroy();
    return response.status === 200;
  }

  #keysOf(name: ObjectName): readonly string[] {
    const { blobsPrefix, manifestsPrefix, names } = this.#settings;
    if (name.kind === "blob") return [`${blobsPrefix}${name.digest}`];
    const file = name.kind === "cache" ? "kiln-cache" : `${name.name}.json`;
    return names.map((cache) => `${manifestsPrefix}${cache}.kiln/${file}`);
  }

  async #find(method: "GET" | "HEAD", key: string, signal: AbortSignal): Promise<"no" | "yes" | "renewed"> {
    const response = await this.#send({ method, key, accepted: [200, 404] }, signal);
    response.body.destroy();
    if (response.status === 404) return "no";
    const changedMs = Date.parse(headerOf(response, "last-modified") ?? "");
    const sizeBytes = Number(headerOf(response, "content-length") ?? 0);
    const isOld = this.#clock.nowMs() - changedMs > this.#settings.touchRefreshMs;
    if (!isOld || sizeBytes > MAX_COPY_BYTES) return "yes";
    await this.#touch(key, signal);
    return "renewed";
  }

  /** Copies an object onto itself: its time is then now. */
  async #touch(key: string, signal: AbortSignal): Promise<void> {
    const { bucket } = this.#settings;
    const source = objectUrl(new URL(`http://-/${bucket}`), key).pathname;
    const headers = { "x-amz-copy-source": source, "x-amz-metadata-directive": "REPLACE" };
    await this.#done({ method: "PUT", key, headers }, signal);
  }

  async #putInParts(key: string, object: NewObject, signal: AbortSignal): Promise<void> {
    const started = await this.#done({ method: "POST", key, query: { uploads: "" } }, signal);
    const uploadId = elementOf(started, "UploadId");
    if (uploadId === undefined) throw this.#http.failure("S3 did not begin an upload");
    try {
      const partBytes = Math.max(PART_BYTES, Math.ceil(object.sizeBytes / MAX_PARTS));
      const send = (part: Part, inner: AbortSignal): Promise<string> => this.#sendPart({ key, uploadId }, part, inner);
      const how = { partBytes, parallel: this.#settings.parallel };
      const tags = await sendParts(await object.open(signal), how, signal, send);
      const parts = tags.map((tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${tag}</ETag></Part>`);
      const bytes = Buffer.from(`<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`);
      await this.#done({ method: "POST", key, query: { uploadId }, body: { bytes } }, signal);
    } catch (error) {
      // Parts of an upload that is never finished are stored, and paid for, for ever. After Ctrl-C too.
      const aborting = this.#done({ method: "DELETE", key, query: { uploadId } }, AbortSignal.timeout(ABORT_MS));
      await aborting.catch(() => undefined);
      throw error;
    }
  }

  async #sendPart(
    { key, uploadId }: { readonly key: string; readonly uploadId: string },
    { index, bytes }: Part,
    signal: AbortSignal,
  ): Promise<string> {
    const query = { partNumber: String(index + 1), uploadId };
    const response = await this.#send({ method: "PUT", key, query, body: { bytes } }, signal);
    response.body.destroy();
    const tag = headerOf(response, "etag");
    if (tag === undefined || /[<>&]/.test(tag)) throw this.#http.failure("S3 took a part without naming it");
    return tag;
  }

  /** Sends a request for a change. S3 may find out that it fails after it has answered 200. */
  async #done(request: S3Request, signal: AbortSignal): Promise<string> {
    const text = await this.#http.text(this.#signed(request, signal), request.accepted ?? [200, 204], signal);
    if (!/<Error[\s>]/.test(text)) return text;
    throw this.#http.failure(`S3 answered 200, and then: ${elementOf(text, "Code") ?? "an error"}`);
  }

  #send(request: S3Request, signal: AbortSignal): Promise<HttpResponse> {
    return this.#http.send(this.#signed(request, signal), request.accepted ?? [200], signal);
  }

  #signed({ method, key, query, headers = {}, body }: S3Request, signal: AbortSignal): ObjectRequest {
    const { base, region, credentials } = this.#settings;
    const url = objectUrl(base, key, query);
    const bodyHex = body === undefined ? EMPTY_HEX : hexOf("bytes" in body ? digestOf(body.bytes) : body.digest);
    const signed = signedHeaders({ method, url, headers, bodyHex }, credentials, { region, atMs: this.#clock.nowMs() });
    const { host: _, ...sent } = signed;
    return { method, url, headers: sent, ...(body === undefined ? {} : { body: bodyOf(body, signal) }) };
  }
}

/** The wait for a server to forget an upload. */
const ABORT_MS = 10_000;

function bodyOf(body: { readonly bytes: Buffer } | NewObject, signal: AbortSignal): NonNullable<ObjectRequest["body"]> {
  if ("bytes" in body) return { sizeBytes: body.bytes.length, open: () => body.bytes };
  return { sizeBytes: body.sizeBytes, open: async () => body.open(signal) };
}

/** Finds the text of an element in the small XML documents of S3. */
function elementOf(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]{1,1000})</${name}>`).exec(xml)?.[1];
  return text?.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

function hintFor(status: number, reason: string, { bucket, region }: S3Settings): string | undefined {
  if (/ExpiredToken|InvalidToken/.test(reason)) return "the session has ended: get new credentials";
  if (/RequestTimeTooSkewed/.test(reason)) return "the clock of this machine is wrong";
  if (status === 301 || /AuthorizationHeaderMalformed|PermanentRedirect/.test(reason)) {
    return `the bucket is in another region than "${region}": change region=`;
  }
  if (/NoSuchBucket/.test(reason)) return `there is no bucket "${bucket}": make it, or change bucket=`;
  if (/SignatureDoesNotMatch/.test(reason))
    return "the secret is not that of the key, or something changed the request";
  if (status === 401 || status === 403) {
    return `the key needs s3:ListBucket on "${bucket}", and s3:GetObject and s3:PutObject on what is in it`;
  }
  return status >= 500 || status === 429 ? "the server is in trouble: try again later" : undefined;
}
