import type { Readable } from "node:stream";
import { debug, timed } from "../core/debug.ts";
import { BuildError } from "../core/errors.ts";
import { type Connections, openConnections } from "./connections.ts";
import { type Host, isAt, isLoopback } from "./host.ts";
import { isPassing, type Purpose, spokeTlsInVain, unreachable } from "./failure.ts";
import { proxyFor } from "./proxy.ts";
import { speaksPlainHttp } from "./plain-http.ts";
import type { RegistryOptions } from "./registry.ts";

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** `sizeBytes` is `undefined` for a body of unknown length (chunked). */
  readonly body?: { readonly sizeBytes: number | undefined; open(): Uint8Array | Readable | Promise<Readable> };
  /**
   * `one`: a broken request leaves a half-made change, and the caller knows how to begin again; or nothing depends on
   * it. Default `many`.
   */
  readonly attempts?: "one" | "many";
}

export interface HttpResponse {
  readonly status: number;
  /** Headers by lower-case name; a repeated header has several values. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** Body, to be read or destroyed. */
  readonly body: Readable;
  /** URL of the answer, after redirects. */
  readonly url: URL;
}

const MAX_REDIRECTS = 10;
const MAX_ATTEMPTS = 5;
/**
 * Attempts where another place can be asked instead. Two, because the other side may close kept connections at any
 * time.
 */
const SHORT_ATTEMPTS = 2;
const FIRST_PAUSE_MS = 250;
const MAX_PAUSE_MS = 60_000;

export type TransportOptions = Pick<RegistryOptions, "ca" | "proxy" | "userAgent" | "timer">;

/** HTTP for registries: redirects without leaking credentials, retries of passing failures, proxies, TLS. */
export class Transport implements AsyncDisposable {
  readonly #options: TransportOptions;
  /** Connections by the host's settings and time-out. */
  readonly #connections = new Map<string, Promise<Connections>>();
  readonly #schemes = new Map<string, "https" | "http">();
  /** True where hosts of this machine speak plain HTTP. */
  readonly #spoken = new Map<string, Promise<boolean>>();

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** Makes the URL of a path at a host, with the scheme that answered there before or the first one to try. */
  urlOf(host: Host, path: string): URL {
    const scheme = this.#schemes.get(host.authority) ?? host.schemes[0] ?? "https";
    return new URL(`${scheme}://${host.authority}${host.prefix}${path}`);
  }

  /**
   * Sends a request until an answer is no passing failure, or attempts run out. Redirects are followed (see
   * `isFollowed`). The last answer is returned whatever its status.
   * @throws {BuildError} `registry/unreachable` without an answer
   */
  async send(host: Host, request: HttpRequest, purpose: Purpose, signal: AbortSignal): Promise<HttpResponse> {
    let url = await this.#knownScheme(host, request.url, signal);
    const isShort = host.patience === "short";
    const attempts = request.attempts === "one" ? 1 : isShort ? SHORT_ATTEMPTS : MAX_ATTEMPTS;
    for (let attempt = 1; ; attempt += 1) {
      let pauseMs = FIRST_PAUSE_MS * 2 ** (attempt - 1);
      const asked: { url: URL } = { url };
      try {
        const response = await this.#follow(host, { ...request, url }, asked, signal);
        if (!isPassing(response.status) || attempt === attempts || isShort) return response;
        pauseMs = retryAfterMs(response) ?? pauseMs;
        response.body.destroy();
      } catch (error) {
        signal.throwIfAborted();
        const other = this.#otherScheme(host, url, error);
        if (other !== undefined) {
          url = other;
          attempt -= 1;
          continue;
        }
        const isLast = attempt === attempts || !isWorthAnother(error) || (isShort && !isReset(error));
        if (isLast) throw unreachable(purpose, error, this.#placeOf(asked.url, host));
      }
      debug("registry", () => `${request.method} ${url.origin}${url.pathname}: once more in ${pauseMs} ms`);
      await this.#options.timer.wait(pauseMs, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opened = await Promise.all(this.#connections.values());
    this.#connections.clear();
    await Promise.all(opened.map((connections) => connections[Symbol.asyncDispose]()));
  }

  /** Names the server that did not answer, for the message. */
  #placeOf(url: URL, host: Host): { readonly host: string; readonly proxy: string | undefined; isRedirected: boolean } {
    const { proxy: settings } = this.#options;
    const proxy = settings === undefined ? undefined : proxyFor(url, settings);
    return { host: url.host, proxy: proxy?.host, isRedirected: !isAt(url, host) };
  }

  /**
   * Follows redirects.
   * @param asked records the target of the last request
   */
  async #follow(host: Host, request: HttpRequest, asked: { url: URL }, signal: AbortSignal): Promise<HttpResponse> {
    let { url, headers } = request;
    for (let redirects = 0; ; redirects += 1) {
      asked.url = url;
      const response = await this.#once(host, { ...request, url, headers }, signal);
      const location = response.headers.get("location")?.[0];
      if (location === undefined || !URL.canParse(location, url.href) || redirects === MAX_REDIRECTS) return response;
      const next = new URL(location, url);
      if (!isFollowed(request, response.status, { from: url, next })) return response;
      response.body.destroy();
      if (next.protocol !== "https:" && (next.protocol !== "http:" || url.protocol === "https:")) {
        throw new BuildError(
          "registry/malformed",
          `Cannot follow "${host.name}": it redirects from https to ${next.protocol.replace(":", "")}`,
        );
      }
      // Storage behind a redirect authenticates requests in its own way, and must not see our credentials.
      if (next.origin !== url.origin)
        headers = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== "authorization"));
      url = next;
    }
  }

  async #once(host: Host, request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
    const isOwn = isAt(request.url, host);
    const { dispatcher } = await this.#connectionsTo(isOwn ? host : undefined, host.patience);
    const { body, method, url } = request;
    const opened = body === undefined ? null : await body.open();
    // A query may be signed, and so a secret.
    const what = (): string => `${method} ${url.origin}${url.pathname}`;
    const answer = await timed("registry", what, () =>
      dispatcher.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        headers: {
          "user-agent": this.#options.userAgent,
          ...request.headers,
          ...(body?.sizeBytes === undefined ? {} : { "content-length": String(body.sizeBytes) }),
        },
        body: opened,
        signal,
      }),
    );
    debug("registry", () => `${what()}: ${answer.statusCode}`);
    if (isOwn) this.#schemes.set(host.authority, request.url.protocol === "http:" ? "http" : "https");
    const headers = new Map<string, readonly string[]>();
    for (const [name, value] of Object.entries(answer.headers)) {
      if (value !== undefined) headers.set(name.toLowerCase(), typeof value === "string" ? [value] : value);
    }
    // An unread body that is destroyed later emits an error that would end the process.
    answer.body.on("error", () => undefined);
    return { status: answer.statusCode, headers, body: answer.body, url: request.url };
  }

  /** Returns the URL by HTTP, where a host that allows plain HTTP speaks it: TLS takes longer to load than to find that out. */
  async #knownScheme(host: Host, url: URL, signal: AbortSignal): Promise<URL> {
    const isOpen = url.protocol === "https:" && isAt(url, host) && host.schemes.includes("http");
    if (!isOpen || !isLoopback(url.host) || this.#schemes.has(host.authority)) return url;
    let found = this.#spoken.get(host.authority);
    if (found === undefined) {
      found = speaksPlainHttp(url, signal);
      this.#spoken.set(host.authority, found);
    }
    if (!(await found)) return url;
    this.#schemes.set(host.authority, "http");
    return new URL(url.href.replace(/^https:/, "http:"));
  }

  /**
   * Returns the same URL by HTTP, for a host that allows plain HTTP and did not understand TLS, or has nothing at the
   * port for TLS.
   */
  #otherScheme(host: Host, url: URL, error: unknown): URL | undefined {
    if (url.protocol !== "https:" || !isAt(url, host) || !host.schemes.includes("http")) return undefined;
    if (this.#schemes.get(host.authority) === "https" || (!spokeTlsInVain(error) && !isBroken(error))) return undefined;
    this.#schemes.set(host.authority, "http");
    return new URL(url.href.replace(/^https:/, "http:"));
  }

  #connectionsTo(host: Host | undefined, patience: Host["patience"]): Promise<Connections> {
    const { ca, client, insecure } = host?.settings ?? {};
    const own = (ca ?? client ?? insecure) === undefined ? undefined : host;
    const key = `${own?.authority ?? ""} ${patience}`;
    let opened = this.#connections.get(key);
    if (opened === undefined) {
      opened = openConnections(this.#options, own?.settings ?? {}, patience);
      this.#connections.set(key, opened);
    }
    return opened;
  }
}

export function headerOf(response: HttpResponse, name: string): string | undefined {
  return response.headers.get(name)?.[0];
}

/** Reads the beginning of a small answer as text, or the part that arrived, and discards the rest. */
export async function textOf(response: HttpResponse, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  // The status is the answer: a broken body does not change it.
  await readInto(chunks, response, maxBytes).catch(() => undefined);
  return Buffer.concat(chunks).subarray(0, maxBytes).toString("utf8");
}

/** Reads at most `maxBytes` and one chunk more; the caller refuses longer answers. */
export async function bytesOf(response: HttpResponse, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await readInto(chunks, response, maxBytes);
  return Buffer.concat(chunks);
}

async function readInto(chunks: Buffer[], response: HttpResponse, maxBytes: number): Promise<void> {
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > maxBytes) break;
  }
}

/** Returns the pause that a busy server asks for, up to a bearable maximum. */
export function retryAfterMs(response: HttpResponse): number | undefined {
  const value = headerOf(response, "retry-after") ?? "";
  // Seconds, or a date by the server's clock, to compare with the Date header. RFC 9110, 10.2.3.
  const ms = /^\s*\d+(?:\.\d+)?\s*$/.test(value)
    ? Number(value) * 1000
    : Date.parse(value) - Date.parse(headerOf(response, "date") ?? "");
  return ms > 0 ? Math.min(ms, MAX_PAUSE_MS) : undefined;
}

/**
 * Tells whether an answer redirects this request. 307 and 308 do so for every method, if the body can be sent again.
 * Web browsers turn the older kinds into a GET, which would be wrong for an upload: these are followed unchanged when
 * they only name the same host in another way (by https, say).
 */
function isFollowed(
  { method, body }: HttpRequest,
  status: number,
  { from, next }: { readonly from: URL; readonly next: URL },
): boolean {
  if (method === "GET" || method === "HEAD") return [301, 302, 303, 307, 308].includes(status);
  if (body !== undefined && body.sizeBytes === undefined) return false;
  return status === 307 || status === 308 || ((status === 301 || status === 302) && next.hostname === from.hostname);
}

/** Tells whether an established connection broke. */
function isReset(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ECONNRESET" || error.code === "UND_ERR_SOCKET");
}

function isBroken(error: unknown): boolean {
  return isReset(error) || (error instanceof Error && "code" in error && error.code === "ECONNREFUSED");
}

function isWorthAnother(error: unknown): boolean {
  if (error instanceof BuildError || !(error instanceof Error)) return false;
  const code = "code" in error ? String(error.code) : "";
  // A missing name or an untrusted certificate stays so; a busy resolver does not.
  return (
    ["ECONNRESET", "ECONNREFUSED", "EPIPE", "ETIMEDOUT", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH"].includes(code) ||
    code.startsWith("UND_ERR_SOCKET") ||
    code.endsWith("_TIMEOUT")
  );
}
