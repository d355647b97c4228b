import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

interface Entry {
  readonly key: string;
  readonly version: string;
  readonly branch: string;
  readonly bytes: Buffer;
}

/** A server that speaks both versions of GitHub's cache service, with its storage. Entries are written once. */
export interface GhaServer extends AsyncDisposable {
  readonly url: string;
  readonly requests: string[];
  readonly entries: Entry[];
  /** Makes a token for a branch; it reads those of the default branch, too. */
  token(branch: string, rights?: { readonly write?: boolean; readonly expiresMs?: number }): string;
  /** Answers the next requests that match with a status, or not at all. */
  fail(pattern: RegExp, how: { readonly status?: number; readonly body?: string; readonly times?: number }): void;
  clear(): void;
}

interface Answer {
  readonly status: number;
  readonly json?: object;
  readonly bytes?: Buffer;
  readonly headers?: Record<string, string>;
}

interface Upload {
  readonly key: string;
  readonly version: string;
  readonly branch: string;
  readonly blocks: Map<string, Buffer>;
  bytes: Buffer;
}

const DEFAULT_BRANCH = "refs/heads/main";

export async function startGhaServer(): Promise<GhaServer> {
  const entries: Entry[] = [];
  const uploads: Upload[] = [];
  const requests: string[] = [];
  const faults: { pattern: RegExp; how: { status?: number; body?: string }; left: number }[] = [];
  let url = "";

  /** The newest of those that a branch may read: its own before the default branch's. */
  const find = (prefix: string, version: string, branch: string): Entry | undefined =>
    [branch, DEFAULT_BRANCH]
      .map((one) =>
        entries.findLast((entry) => entry.branch === one && entry.version === version && entry.key.startsWith(prefix)),
      )
      .find((entry) => entry !== undefined);
  const begin = (key: string, version: string, branch: string): number | undefined => {
    const isTaken = [...entries, ...uploads].some(
      (other) => other.key === key && other.version === version && other.branch === branch,
    );
    return isTaken ? undefined : uploads.push({ key, version, branch, blocks: new Map(), bytes: Buffer.alloc(0) });
  };
  const end = (upload: Upload | undefined, size: number): boolean => {
    if (upload?.bytes.length !== size) return false;
    const { key, version, branch, bytes } = upload;
    entries.push({ key, version, branch, bytes });
    return true;
  };

  const storage = (request: IncomingMessage, path: URL, body: Buffer): Answer => {
    if (request.headers.authorization !== undefined || path.searchParams.get("sig") !== "SIGNED")
      return { status: 403 };
    const [, kind, number] = path.pathname.split("/").slice(2);
    if (request.method === "GET") {
      const { bytes = Buffer.alloc(0) } = entries[Number(number)] ?? {};
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
      const headers = { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
      return { status: from > 0 ? 206 : 200, bytes: bytes.subarray(from), headers: from > 0 ? headers : {} };
    }
    const upload = uploads[Number(number) - 1];
    if (upload === undefined || kind !== "up") return { status: 404 };
    const { comp, blockid } = Object.fromEntries(path.searchParams);
    if (comp === "block") upload.blocks.set(blockid ?? "", body);
    else if (comp === "blocklist") {
      const ids = [...body.toString().matchAll(/<Latest>([^<]*)<\/Latest>/g)].map(([, id = ""]) => id);
      upload.bytes = Buffer.concat(ids.map((id) => upload.blocks.get(id) ?? Buffer.alloc(0)));
    } else if (request.headers["x-ms-blob-type"] === "BlockBlob") upload.bytes = body;
    else return { status: 400 };
    return { status: 201 };
  };

  const version2 = (name: string, json: Record<string, unknown>, claims: Claims): Answer => {
    const { key, version } = { key: String(json["key"]), version: String(json["version"]) };
    if (name === "GetCacheEntryDownloadURL") {
      const found = find(key, version, claims.branch);
      if (found === undefined) return { status: 200, json: { ok: false } };
      const signed_download_url = `${url}/blobs/down/${entries.indexOf(found)}?sig=SIGNED`;
      return { status: 200, json: { ok: true, matched_key: found.key, signed_download_url } };
    }
    if (!claims.write) return { status: 403, json: { code: "permission_denied", msg: "cache write denied" } };
    if (name === "CreateCacheEntry") {
      const id = begin(key, version, claims.branch);
      if (id === undefined) return { status: 409, json: { code: "already_exists", msg: "it exists" } };
      return { status: 200, json: { ok: true, signed_upload_url: `${url}/blobs/up/${id}?sig=SIGNED` } };
    }
    const upload = uploads.find((one) => one.key === key && one.branch === claims.branch);
    return { status: 200, json: { ok: end(upload, Number(json["size_bytes"])), entry_id: "1" } };
  };

  const version1 = (request: IncomingMessage, path: URL, body: Buffer, claims: Claims): Answer => {
    const id = Number(/caches\/(\d+)$/.exec(path.pathname)?.[1]);
    const upload = uploads[id - 1];
    if (request.method === "GET") {
      const found = find(path.searchParams.get("keys") ?? "", path.searchParams.get("version") ?? "", claims.branch);
      if (found === undefined) return { status: 204 };
      const archiveLocation = `${url}/blobs/down/${entries.indexOf(found)}?sig=SIGNED`;
      return { status: 200, json: { cacheKey: found.key, archiveLocation } };
    }
    if (!claims.write) return { status: 403, json: { message: "cache write denied" } };
    if (request.method === "PATCH") {
      const offset = Number(/^bytes (\d+)-/.exec(request.headers["content-range"] ?? "")?.[1]);
      if (upload === undefined) return { status: 404 };
      const all = Buffer.alloc(Math.max(upload.bytes.length, offset + body.length));
      upload.bytes.copy(all);
      body.copy(all, offset);
      upload.bytes = all;
      return { status: 204 };
    }
    const json = JSON.parse(body.toString()) as Record<string, unknown>;
    if (upload !== undefined) return { status: end(upload, Number(json["size"])) ? 204 : 400 };
    const cacheId = begin(String(json["key"]), String(json["version"]), claims.branch);
    return cacheId === undefined ? { status: 409 } : { status: 201, json: { cacheId } };
  };

  const answer = (request: IncomingMessage, body: Buffer): Answer => {
    const path = new URL(request.url ?? "", "http://gha");
    if (path.pathname.startsWith("/x/blobs/")) return storage(request, path, body);
    const claims = claimsOf(request.headers.authorization ?? "");
    if (claims === undefined)
      return { status: 401, json: { code: "unauthenticated", msg: request.headers.authorization } };
    const call = /^\/x\/twirp\/github\.actions\.results\.api\.v1\.CacheService\/(\w+)$/.exec(path.pathname)?.[1];
    if (call !== undefined) return version2(call, JSON.parse(body.toString()) as Record<string, unknown>, claims);
    return path.pathname.startsWith("/x/_apis/artifactcache/cache")
      ? version1(request, path, body, claims)
      : { status: 404 };
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const line = `${request.method} ${request.url}`;
    const body = await buffer(request);
    requests.push(line);
    const fault = faults.find(({ pattern, left }) => left > 0 && pattern.test(line));
    if (fault !== undefined) {
      fault.left -= 1;
      if (fault.how.status === undefined) return;
      response.writeHead(fault.how.status).end(fault.how.body);
      return;
    }
    const { status, json, bytes, headers = {} } = answer(request, body);
    response.writeHead(status, headers).end(bytes ?? (json === undefined ? undefined : JSON.stringify(json)));
  };
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a server that listens on TCP has such an address
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`;
  return {
    url: `${url}/`,
    requests,
    entries,
    token: (branch, { write = true, expiresMs = Date.now() + 3_600_000 } = {}) => {
      const ac = JSON.stringify([
        { Scope: branch, Permission: write ? 3 : 1 },
        { Scope: DEFAULT_BRANCH, Permission: 1 },
      ]);
      const claims = { ac, exp: Math.floor(expiresMs / 1000), nbf: 0 };
      return `head.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.signature`;
    },
    fail: (pattern, { times = 1, ...how }) => faults.push({ pattern, how, left: times }),
    clear() {
      requests.length = 0;
      faults.length = 0;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Claims {
  readonly branch: string;
  readonly write: boolean;
}

function claimsOf(authorization: string): Claims | undefined {
  const payload = /^Bearer head\.([\w-]+)\.signature$/.exec(authorization)?.[1];
  if (payload === undefined) return undefined;
  const { ac } = JSON.parse(Buffer.from(payload, "base64url").toString()) as { ac: string };
  const [own] = JSON.parse(ac) as { Scope: string; Permission: number }[];
  return own === undefined ? undefined : { branch: own.Scope, write: (own.Permission & 2) !== 0 };
}
