import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";

/** A fault of the next matching requests. Faults are used up in order, `times` times each. */
export interface Fault {
  readonly method?: string;
  /** Pattern for the path with its query. */
  readonly path: RegExp;
  /** Default 1. */
  readonly times?: number;
  readonly kind:
    | {
        readonly kind: "status";
        readonly status: number;
        readonly headers?: Record<string, string>;
        readonly body?: string;
      }
    /** The connection closes after this many bytes of the body (0: before any answer). */
    | { readonly kind: "drop"; readonly afterBytes: number }
    /** The body ends early, but the headers announce all of it. */
    | { readonly kind: "truncate"; readonly toBytes: number }
    /** One byte of the body is changed. */
    | { readonly kind: "alter" }
    /** Range headers are ignored: the whole blob comes, with status 200. */
    | { readonly kind: "no-range" }
    /** The connection closes after this many bytes of the request's body; an upload keeps them. */
    | { readonly kind: "cut"; readonly afterBytes: number }
    /** An upload takes only the first bytes of the body, and says so. */
    | { readonly kind: "short"; readonly bytes: number }
    /** The body comes in small pieces, with a pause after each. */
    | { readonly kind: "drip"; readonly bytes: number; readonly everyMs: number }
    /** The request is accepted and never answered. */
    | { readonly kind: "silence" }
    /** The answer redirects to the same path and query of another origin. */
    | { readonly kind: "redirect"; readonly status: number; readonly origin: string };
}

export type RegistryAuth =
  | { readonly kind: "none" }
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  /** Tokens come from `/token` of the same server; anonymous ones may pull when `anonymousPull`. */
  | {
      readonly kind: "token";
      readonly username: string;
      readonly password: string;
      readonly refreshToken?: string;
      readonly anonymousPull?: boolean;
    };

export interface TestRegistryOptions {
  readonly auth?: RegistryAuth;
  /** Status that refuses a PUT of a whole blob, so that only chunks work. */
  readonly refuseWholeUploads?: number;
  /** Larger request bodies are refused with 413. */
  readonly maxBodyBytes?: number;
  /** Minimum size of every chunk but the last one, as in `OCI-Chunk-Min-Length`. */
  readonly leastChunkBytes?: number;
  /** False for a registry that does not tell how far an upload got, and forgets one that broke off. Default true. */
  readonly tellsUploads?: boolean;
  /** Origin of redirects that answer requests for uploads and blobs. */
  readonly redirectBlobsTo?: string;
  /** Makes the answer of the token server, instead of the usual one. */
  readonly tokenAnswer?: (token: string) => object;
  /** Requests that a token serves before it has ended. */
  readonly tokenUses?: number;
  /** Status that refuses scopes for repositories with these names. */
  readonly refuseScopes?: { readonly of: string; readonly status: number };
}

/** One request for a manifest or blob of a repository, and where its answer goes. */
interface Exchange {
  readonly method: string;
  readonly url: URL;
  /** The repository's. */
  readonly name: string;
  readonly request: IncomingMessage;
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly fault: Fault["kind"] | undefined;
}

export interface LoggedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** An in-memory registry of the distribution specification, on a free port of 127.0.0.1, with faults on demand. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:40123`: the registry part of references. */
  readonly host: string;
  readonly requests: readonly LoggedRequest[];
  readonly blobs: ReadonlyMap<string, Buffer>;
  /** Manifests by `name:tag` and `name@digest`. */
  readonly manifests: ReadonlyMap<string, { readonly mediaType: string; readonly bytes: Buffer }>;
  addBlob(bytes: Buffer | string): { readonly digest: string; readonly size: number };
  addManifest(repository: string, tag: string, mediaType: string, bytes: Buffer | string): string;
  fail(fault: Fault): void;
  clearLog(): void;
}

export async function startTestRegistry(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const registry = new MemoryRegistry(options);
  await registry.listen();
  return registry;
}

class MemoryRegistry implements TestRegistry {
  readonly requests: LoggedRequest[] = [];
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, { readonly mediaType: string; readonly bytes: Buffer }>();
  /** `name digest`: the repositories that have a blob. A blob added by a test is in all of them. */
  readonly #links = new Set<string>();
  readonly #everywhere = new Set<string>();
  readonly #options: TestRegistryOptions;
  readonly #faults: { readonly fault: Fault; left: number }[] = [];
  readonly #uploads = new Map<string, { content: Buffer; isClosed: boolean }>();
  /** The scopes that each token gives. */
  readonly #uses = new Map<string, number>();
  readonly #tokens = new Map<string, readonly string[]>();
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : undefined);
    });
  });

  constructor(options: TestRegistryOptions) {
    this.#options = options;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, "127.0.0.1", resolve);
    });
  }

  addBlob(bytes: Buffer | string): { readonly digest: string; readonly size: number } {
    const content = Buffer.from(bytes);
    const digest = digestOf(content);
    this.blobs.set(digest, content);
    this.#everywhere.add(digest);
    return { digest, size: content.length };
  }

  addManifest(repository: string, tag: string, mediaType: string, bytes: Buffer | string): string {
    const content = Buffer.from(bytes);
    const digest = digestOf(content);
    this.manifests.set(`${repository}@${digest}`, { mediaType, bytes: content });
    if (tag !== "") this.manifests.set(`${repository}:${tag}`, { mediaType, bytes: content });
    return digest;
  }

  fail(fault: Fault): void {
    this.#faults.push({ fault, left: fault.times ?? 1 });
  }

  clearLog(): void {
    this.requests.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? "GET";
    const url = new URL(request.url ?? "/", `http://${this.host}`);
    this.requests.push({ method, path: url.pathname + url.search, headers: request.headers });
    const fault = this.#fault(method, url.pathname + url.search);
    if (fault?.kind === "drop" && fault.afterBytes === 0) return void request.socket.destroy();
    if (fault?.kind === "silence") return void request.resume();
    if (fault?.kind === "redirect") {
      request.resume();
      const location = fault.origin + (request.url ?? "");
      return void response.writeHead(fault.status, { location }).end();
    }
    if (fault?.kind === "status") {
      request.resume();
      return void response.writeHead(fault.status, fault.headers).end(fault.body);
    }
    const body = fault?.kind === "cut" ? await beginningOf(request, fault.afterBytes) : await buffer(request);
    if (url.pathname === "/token") return this.#token(request, url, body, response);
    const match = /^\/v2\/(.+?)\/(manifests|blobs)\/(.*)$/.exec(url.pathname);
    const [, name = "", kind = "", rest = ""] = match ?? [];
    if (!this.#isAllowed(request, name, method === "GET" || method === "HEAD" ? "pull" : "push", response)) return;
    if (match === null) return void response.writeHead(url.pathname === "/v2/" ? 200 : 404).end();
    if (body.length > (this.#options.maxBodyBytes ?? Infinity)) return void response.writeHead(413).end();
    const exchange = { method, url, name, request, body, response, fault };
    if (kind === "manifests") return this.#manifest(rest, exchange);
    if (rest.startsWith("uploads/")) return this.#upload(rest.slice("uploads/".length), exchange);
    this.#blob(rest, exchange);
  }

  #fault(method: string, path: string): Fault["kind"] | undefined {
    const found = this.#faults.find(
      ({ fault, left }) => left > 0 && fault.path.test(path) && (fault.method ?? method) === method,
    );
    if (found === undefined) return undefined;
    found.left -= 1;
    return found.fault.kind;
  }

  #isAllowed(request: IncomingMessage, name: string, action: "pull" | "push", response: ServerResponse): boolean {
    const { auth = { kind: "none" } } = this.#options;
    const given = request.headers.authorization ?? "";
    if (auth.kind === "none") return true;
    if (auth.kind === "basic") {
      if (given === basic(auth)) return true;
      response.writeHead(401, { "www-authenticate": 'Basic realm="test"' }).end(errors("UNAUTHORIZED", "log in first"));
      return false;
    }
    const wanted = `repository:${name}:${action}`;
    const scopes = this.#tokens.get(given.replace(/^Bearer /, ""));
    const uses = (this.#uses.get(given) ?? 0) + 1;
    this.#uses.set(given, uses);
    if (scopes?.includes(wanted) === true && uses <= (this.#options.tokenUses ?? Infinity)) return true;
    const scope = `repository:${name}:${action === "push" ? "pull,push" : "pull"}`;
    response
      .writeHead(401, {
        "www-authenticate": `Bearer realm="http://${this.host}/token",service="test",scope="${scope}"`,
      })
      .end(errors("UNAUTHORIZED", "authentication required"));
    return false;
  }

  #token(request: IncomingMessage, url: URL, body: Buffer, response: ServerResponse): void {
    const { auth } = this.#options;
    if (auth?.kind !== "token") return void response.writeHead(404).end();
    const form = new URLSearchParams(body.toString());
    const isUser =
      request.method === "POST"
        ? auth.refreshToken !== undefined && form.get("refresh_token") === auth.refreshToken
        : request.headers.authorization === basic(auth);
    const isAnonymous = request.method === "GET" && request.headers.authorization === undefined;
    if (!isUser && !(isAnonymous && auth.anonymousPull === true)) {
      return void response.writeHead(401).end(JSON.stringify({ details: "incorrect username or password" }));
    }
    const asked = request.method === "POST" ? (form.get("scope") ?? "").split(" ") : url.searchParams.getAll("scope");
    const granted = asked.flatMap((scope) => {
      const [type, name, actions = ""] = scope.split(":");
      const allowed = actions.split(",").filter((action) => isUser || action === "pull");
      return allowed.map((action) => `${type}:${name}:${action}`);
    });
    const token = randomUUID();
    this.#tokens.set(token, granted);
    const { refuseScopes, tokenAnswer } = this.#options;
    if (refuseScopes !== undefined && asked.some((scope) => scope.split(":")[1] === refuseScopes.of))
      return void response.writeHead(refuseScopes.status).end(errors("DENIED", "not for you"));
    response.writeHead(200, { "content-type": "application/json" });
    if (tokenAnswer !== undefined) return void response.end(JSON.stringify(tokenAnswer(token)));
    response.end(JSON.stringify(request.method === "POST" ? { access_token: token } : { token, expires_in: 300 }));
  }

  #manifest(reference: string, exchange: Exchange): void {
    const { method, name, request, body, response } = exchange;
    const key = reference.startsWith("sha256:") ? `${name}@${reference}` : `${name}:${reference}`;
    if (method === "PUT") {
      const mediaType = request.headers["content-type"] ?? "";
      const digest = this.addManifest(name, reference.startsWith("sha256:") ? "" : reference, mediaType, body);
      return void response.writeHead(201, { "docker-content-digest": digest }).end();
    }
    const found = this.manifests.get(key);
    if (found === undefined) return void response.writeHead(404).end(errors("MANIFEST_UNKNOWN", "manifest unknown"));
    const headers = { "content-type": found.mediaType, "docker-content-digest": digestOf(found.bytes) };
    this.#send(exchange, 200, headers, found.bytes);
  }

  /** @param id of an upload that goes on. */
  #upload(id: string, exchange: Exchange): void {
    const { method, name, url, response } = exchange;
    if (method === "POST") {
      const mount = url.searchParams.get("mount") ?? "";
      if (this.#has(url.searchParams.get("from") ?? "", mount)) {
        this.#links.add(`${name} ${mount}`);
        return void response.writeHead(201, { location: `/v2/${name}/blobs/${mount}` }).end();
      }
      const begun = randomUUID();
      this.#uploads.set(begun, { content: Buffer.alloc(0), isClosed: false });
      const { leastChunkBytes } = this.#options;
      const least = leastChunkBytes === undefined ? {} : { "oci-chunk-min-length": String(leastChunkBytes) };
      return void response.writeHead(202, { location: `/v2/${name}/blobs/uploads/${begun}?state=1`, ...least }).end();
    }
    const upload = this.#uploads.get(id);
    if (upload === undefined) return void response.writeHead(404).end(errors("BLOB_UPLOAD_UNKNOWN", "no such upload"));
    if (method === "DELETE") {
      this.#uploads.delete(id);
      return void response.writeHead(204).end();
    }
    const { tellsUploads = true } = this.#options;
    if (method === "GET") {
      if (!tellsUploads) return void response.writeHead(404).end();
      return void response.writeHead(204, placeOf(name, id, upload.content)).end();
    }
    if (exchange.fault?.kind === "cut") {
      if (tellsUploads) upload.content = Buffer.concat([upload.content, exchange.body]);
      else this.#uploads.delete(id);
      return void response.destroy();
    }
    if (method === "PATCH") this.#append(id, upload, exchange);
    else this.#finish(id, upload.content, exchange);
  }

  #append(
    id: string,
    upload: { content: Buffer; isClosed: boolean },
    { name, request, body, response, fault }: Exchange,
  ): void {
    const before = upload.content.length;
    const range = `${before}-${before + body.length - 1}`;
    // A body of unknown length comes without a range: it is the rest of the blob.
    if (upload.isClosed || (request.headers["content-range"] ?? range) !== range)
      return void response.writeHead(416, placeOf(name, id, upload.content)).end();
    const taken = fault?.kind === "short" ? body.subarray(0, fault.bytes) : body;
    upload.content = Buffer.concat([upload.content, taken]);
    // A chunk that is too small must be the last one.
    upload.isClosed = taken.length === body.length && body.length < (this.#options.leastChunkBytes ?? 0);
    response.writeHead(202, placeOf(name, id, upload.content)).end();
  }

  #finish(id: string, before: Buffer, { name, url, body, response }: Exchange): void {
    const { refuseWholeUploads } = this.#options;
    if (refuseWholeUploads !== undefined && body.length > 0) return void response.writeHead(refuseWholeUploads).end();
    const content = Buffer.concat([before, body]);
    const digest = digestOf(content);
    this.#uploads.delete(id);
    if (digest !== url.searchParams.get("digest")) {
      return void response
        .writeHead(400)
        .end(errors("DIGEST_INVALID", "provided digest did not match uploaded content"));
    }
    this.blobs.set(digest, content);
    this.#links.add(`${name} ${digest}`);
    response.writeHead(201, { location: `/v2/${name}/blobs/${digest}`, "docker-content-digest": digest }).end();
  }

  #blob(digest: string, exchange: Exchange): void {
    const { method, name, request, response, fault } = exchange;
    const found = this.#has(name, digest) ? this.blobs.get(digest) : undefined;
    if (found === undefined)
      return void response.writeHead(404).end(errors("BLOB_UNKNOWN", "blob unknown to registry"));
    if (this.#options.redirectBlobsTo !== undefined && method === "GET") {
      return void response.writeHead(307, { location: `${this.#options.redirectBlobsTo}${request.url ?? ""}` }).end();
    }
    const asked = fault?.kind === "no-range" ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    if (asked === null) return this.#send(exchange, 200, {}, found);
    const from = Number(asked[1]);
    const end = asked[2] === "" ? found.length : Math.min(found.length, Number(asked[2]) + 1);
    const range = { "content-range": `bytes ${from}-${end - 1}/${found.length}` };
    this.#send(exchange, 206, range, found.subarray(from, end));
  }

  #has(name: string, digest: string): boolean {
    return this.#everywhere.has(digest) || this.#links.has(`${name} ${digest}`);
  }

  #send({ method, response, fault }: Exchange, status: number, headers: Record<string, string>, bytes: Buffer): void {
    let body = bytes;
    if (fault?.kind === "alter") {
      body = Buffer.from(bytes);
      body[0] = (body[0] ?? 0) ^ 1;
    }
    if (fault?.kind === "truncate") body = bytes.subarray(0, fault.toBytes);
    const length = fault?.kind === "truncate" ? body.length : bytes.length;
    response.writeHead(status, { ...headers, "content-length": String(length) });
    if (method === "HEAD") return void response.end();
    if (fault?.kind === "drop") {
      return void response.write(bytes.subarray(0, fault.afterBytes), () => response.destroy());
    }
    if (fault?.kind === "drip") return void drip(fault, body, response);
    response.end(body);
  }
}

/** Reads the beginning of a request's body; the rest is left. */
async function beginningOf(request: IncomingMessage, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= bytes) break;
  }
  return Buffer.concat(chunks).subarray(0, bytes);
}

function placeOf(name: string, id: string, { length }: Buffer): { readonly location: string; readonly range: string } {
  return { location: `/v2/${name}/blobs/uploads/${id}?state=2`, range: `0-${Math.max(0, length - 1)}` };
}

async function drip(
  { bytes, everyMs }: { readonly bytes: number; readonly everyMs: number },
  body: Buffer,
  response: ServerResponse,
): Promise<void> {
  for (let at = 0; at < body.length && !response.destroyed; at += bytes) {
    response.write(body.subarray(at, at + bytes));
    await setTimeout(everyMs);
  }
  response.end();
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function basic(auth: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString("base64")}`;
}

function errors(code: string, message: string): string {
  return JSON.stringify({ errors: [{ code, message }] });
}
