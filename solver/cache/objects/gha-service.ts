import type { Transport } from "../../../lib/registry/transport.ts";
import { digestOf, hexOf } from "../../../lib/core/digest.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import type { GhaSettings } from "./gha-settings.ts";
import { ObjectHttp, type ObjectRequest } from "./object-http.ts";
import type { NewObject } from "./object-store.ts";
import { sendParts } from "./parts.ts";

/** The service's second name of an entry: others with the same key and another one are not seen. */
const VERSION = hexOf(digestOf("kiln cache 1"));
/** Size of a part of an upload: that of GitHub's own client. */
const PART_BYTES = 32 << 20;
const PARALLEL = 4;

/** The cache service: entries that are written once, found by the beginning of their keys, newest first. */
export interface GhaService {
  readonly http: ObjectHttp;
  /** Finds the newest entry that may be read here: the address of its content. */
  find(prefix: string, version: string, signal: AbortSignal): Promise<URL | undefined>;
  save(key: string, object: NewObject, signal: AbortSignal): Promise<void>;
}

export const KILN_VERSION = VERSION;

export function openGhaService(settings: GhaSettings, transport: Transport): GhaService {
  const http = new ObjectHttp(transport, {
    service: "the cache service of GitHub",
    secrets: [settings.token],
    timeoutMs: settings.timeoutMs,
    reasonIn,
    hintFor,
  });
  return settings.version === 2 ? new Version2(settings, http) : new Version1(settings, http);
}

/** The service at ACTIONS_RESULTS_URL: Twirp, with contents in a storage of blobs. */
class Version2 implements GhaService {
  readonly http: ObjectHttp;
  readonly #settings: GhaSettings;

  constructor(settings: GhaSettings, http: ObjectHttp) {
    this.http = http;
    this.#settings = settings;
  }

  async find(prefix: string, version: string, signal: AbortSignal): Promise<URL | undefined> {
    const body = { key: prefix, restore_keys: [prefix], version };
    const answer = await this.#call("GetCacheEntryDownloadURL", body, [200, 404], signal);
    const key = textOf(answer, "matched_key", "matchedKey");
    if (answer["ok"] !== true || !key.startsWith(prefix)) return undefined;
    return this.#address(textOf(answer, "signed_download_url", "signedDownloadUrl"));
  }

  async save(key: string, object: NewObject, signal: AbortSignal): Promise<void> {
    const begun = await this.#call("CreateCacheEntry", { key, version: VERSION }, [200], signal);
    if (begun["ok"] !== true) throw this.http.failure(refusalOf(begun, "did not take an entry"), READ_ONLY);
    const url = this.#address(textOf(begun, "signed_upload_url", "signedUploadUrl"));
    if (object.sizeBytes <= PART_BYTES) await this.#putBlob(url, object, signal);
    else await this.#putBlocks(url, object, signal);
    const end = { key, size_bytes: String(object.sizeBytes), version: VERSION };
    const ended = await this.#call("FinalizeCacheEntryUpload", end, [200], signal);
    if (ended["ok"] !== true) throw this.http.failure(refusalOf(ended, "did not keep an entry"));
  }

  async #call(
    name: string,
    body: object,
    accepted: readonly number[],
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, unknown>>> {
    const path = `twirp/github.actions.results.api.v1.CacheService/${name}`;
    const url = new URL(path, `${this.#settings.url.href.replace(/\/*$/, "")}/`);
    const request = jsonRequest("POST", url, body, { authorization: `Bearer ${this.#settings.token}` });
    const json = parseJson(await this.http.text(request, accepted, signal));
    if (!isRecord(json)) throw this.http.failure("the cache service of GitHub answered something else than JSON");
    return json;
  }

  async #putBlob(url: URL, object: NewObject, signal: AbortSignal): Promise<void> {
    const headers = { "x-ms-blob-type": "BlockBlob", "content-type": "application/octet-stream" };
    const body = { sizeBytes: object.sizeBytes, open: async () => object.open(signal) };
    await this.http.text({ method: "PUT", url, headers, body }, [200, 201], signal);
  }

  /** Uploads blocks, and then the list of them. */
  async #putBlocks(url: URL, object: NewObject, signal: AbortSignal): Promise<void> {
    const stream = await object.open(signal);
    const how = { partBytes: PART_BYTES, parallel: PARALLEL };
    const ids = await sendParts(stream, how, signal, async ({ index, bytes }, inner) => {
      const id = Buffer.from(`kiln-${String(index).padStart(8, "0")}`).toString("base64");
      const block = withQuery(url, { comp: "block", blockid: id });
      await this.http.text({ method: "PUT", url: block, headers: {}, body: inMemory(bytes) }, [200, 201], inner);
      return id;
    });
    const list = ids.map((id) => `<Latest>${id}</Latest>`).join("");
    const bytes = Buffer.from(`<?xml version="1.0" encoding="utf-8"?><BlockList>${list}</BlockList>`);
    const end = withQuery(url, { comp: "blocklist" });
    await this.http.text({ method: "PUT", url: end, headers: {}, body: inMemory(bytes) }, [200, 201], signal);
  }

  #address(text: string): URL {
    return addressOf(text, this.http);
  }
}

/** The service at ACTIONS_CACHE_URL, of GitHub Enterprise Server. */
class Version1 implements GhaService {
  readonly http: ObjectHttp;
  readonly #settings: GhaSettings;

  constructor(settings: GhaSettings, http: ObjectHttp) {
    this.http = http;
    this.#settings = settings;
  }

  async find(prefix: string, version: string, signal: AbortSignal): Promise<URL | undefined> {
    const url = withQuery(this.#url("cache"), { keys: prefix, version });
    const text = await this.http.text({ method: "GET", url, headers: this.#headers() }, [200, 204, 404], signal);
    const json = parseJson(text);
    if (!isRecord(json) || !textOf(json, "cacheKey").startsWith(prefix)) return undefined;
    return addressOf(textOf(json, "archiveLocation"), this.http);
  }

  async save(key: string, object: NewObject, signal: AbortSignal): Promise<void> {
    const reservation = jsonRequest("POST", this.#url("caches"), { key, version: VERSION }, this.#headers());
    const begun = parseJson(await this.http.text(reservation, [200, 201], signal));
    const id: unknown = isRecord(begun) ? (begun["cacheId"] ?? begun["cacheID"]) : undefined;
    if (typeof id !== "number" || id === 0)
      throw this.http.failure("the cache service of GitHub did not take an entry");
    const url = this.#url(`caches/${id}`);
    const stream = await object.open(signal);
    const how = { partBytes: PART_BYTES, parallel: PARALLEL };
    await sendParts(stream, how, signal, async ({ offsetBytes, bytes }, inner) => {
      const range = `bytes ${offsetBytes}-${offsetBytes + bytes.length - 1}/*`;
      const headers = { ...this.#headers(), "content-type": "application/octet-stream", "content-range": range };
      await this.http.text({ method: "PATCH", url, headers, body: inMemory(bytes) }, [200, 202, 204], inner);
    });
    await this.http.text(
      jsonRequest("POST", url, { size: object.sizeBytes }, this.#headers()),
      [200, 201, 204],
      signal,
    );
  }

  #url(path: string): URL {
    return new URL(`${this.#settings.url.href.replace(/\/*$/, "")}/_apis/artifactcache/${path}`);
  }

  #headers(): Record<string, string> {
    const accept = "application/json;api-version=6.0-preview.1";
    return { accept, authorization: `Bearer ${this.#settings.token}` };
  }
}

function jsonRequest(method: "POST", url: URL, body: object, headers: Readonly<Record<string, string>>): ObjectRequest {
  const bytes = Buffer.from(JSON.stringify(body));
  return { method, url, headers: { ...headers, "content-type": "application/json" }, body: inMemory(bytes) };
}

function inMemory(bytes: Buffer): NonNullable<ObjectRequest["body"]> {
  return { sizeBytes: bytes.length, open: () => bytes };
}

/** Adds to a query that is signed, and so stays as it is. */
function withQuery(url: URL, query: Readonly<Record<string, string>>): URL {
  const added = new URLSearchParams(query).toString();
  return new URL(`${url.href}${url.search === "" ? "?" : "&"}${added}`);
}

function textOf(json: Readonly<Record<string, unknown>>, ...names: readonly string[]): string {
  const found = names.map((name) => json[name]).find((value) => typeof value === "string");
  return typeof found === "string" ? found : "";
}

function addressOf(text: string, http: ObjectHttp): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url;
  throw http.failure("the cache service of GitHub answered without an address");
}

const READ_ONLY = "a pull request from a fork may only read the cache: use --cache-mode=read there";

function refusalOf(answer: Readonly<Record<string, unknown>>, what: string): string {
  const reason = textOf(answer, "message", "msg");
  return `the cache service of GitHub ${what}${reason === "" ? "" : `: ${reason.slice(0, 300)}`}`;
}

function reasonIn(body: string): string | undefined {
  const json = parseJson(body);
  if (isRecord(json)) return textOf(json, "msg", "message") || undefined;
  // Azure's storage.
  return /<Code>([^<]{1,200})<\/Code>/.exec(body)?.[1];
}

function hintFor(status: number, reason: string): string | undefined {
  if (status === 401) return "the token is wrong, or of a job that has ended: take that of the job that runs now";
  if (status === 403 || /permission|read.?only/i.test(reason)) return READ_ONLY;
  if (status === 429) return "the service limits how much a repository may ask for: mode=min asks for less";
  return status >= 500 ? "the service is in trouble: try again later" : undefined;
}
