import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export interface S3Request {
  readonly method: string;
  readonly url: string;
  readonly host: string;
  readonly status: number;
}

/** A server with one bucket, by path, that checks each request's signature, and the digest of its body. */
export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly requests: readonly S3Request[];
  readonly objects: ReadonlyMap<string, { readonly bytes: Buffer; changedMs: number }>;
  /** Uploads in parts that were begun and neither finished nor given up. */
  readonly uploads: ReadonlyMap<string, ReadonlyMap<number, Buffer>>;
  put(key: string, bytes: string): void;
  /** Removes objects, as a rule of expiry does. */
  expire(pattern: RegExp): void;
  /** Answers the next requests that match with a status, or cuts their connection. */
  fail(pattern: RegExp, how: { readonly status?: number; readonly body?: string; readonly times?: number }): void;
  clear(): void;
}

interface Keys {
  readonly id: string;
  readonly secret: string;
  readonly token?: string;
}

interface Answer {
  readonly status: number;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string>;
}

export async function startS3Server(bucket: string, region: string, keys: Keys): Promise<S3Server> {
  const objects = new Map<string, { bytes: Buffer; changedMs: number }>();
  const uploads = new Map<string, Map<number, Buffer>>();
  const requests: S3Request[] = [];
  const faults: { pattern: RegExp; how: { status?: number; body?: string }; left: number }[] = [];
  let uploadCount = 0;

  const answer = (request: IncomingMessage, body: Buffer): Answer => {
    const refusal = refusalOf(request, body, { region, keys });
    if (refusal !== undefined) return failure(403, refusal, `given ${String(request.headers["x-amz-security-token"])}`);
    const url = new URL(request.url ?? "", "http://s3");
    const [, name, ...rest] = url.pathname.split("/").map(decodeURIComponent);
    if (name !== bucket) return failure(404, "NoSuchBucket");
    const key = rest.join("/");
    const uploadId = url.searchParams.get("uploadId");
    const upload = uploadId === null ? undefined : uploads.get(uploadId);
    if (uploadId !== null && upload === undefined) return failure(404, "NoSuchUpload");
    const found = objects.get(key);
    switch (request.method) {
      case "GET":
      case "HEAD": {
        if (found === undefined) return failure(404, "NoSuchKey");
        const headers = { "last-modified": new Date(found.changedMs).toUTCString() };
        const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
        const range = `bytes ${from}-${found.bytes.length - 1}/${found.bytes.length}`;
        if (from > 0)
          return { status: 206, body: found.bytes.subarray(from), headers: { ...headers, "content-range": range } };
        return { status: 200, body: found.bytes, headers };
      }
      case "PUT": {
        if (upload !== undefined) {
          upload.set(Number(url.searchParams.get("partNumber")), body);
          return { status: 200, headers: { etag: `"part${url.searchParams.get("partNumber")}"` } };
        }
        const source = request.headers["x-amz-copy-source"];
        if (source === undefined) objects.set(key, { bytes: body, changedMs: Date.now() });
        else if (source !== `/${bucket}/${encodeURIComponent(key).replaceAll("%2F", "/")}` || found === undefined) {
          return failure(400, "InvalidArgument");
        } else found.changedMs = Date.now();
        return { status: 200, body: "<CopyObjectResult></CopyObjectResult>" };
      }
      case "POST": {
        if (upload === undefined || uploadId === null) {
          const id = `upload/${(uploadCount += 1)}+`;
          uploads.set(id, new Map());
          return {
            status: 200,
            body: `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
          };
        }
        const named = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>"part(\d+)"<\/ETag>/g)];
        objects.set(key, {
          bytes: Buffer.concat(named.map(([, number]) => upload.get(Number(number)) ?? Buffer.alloc(0))),
          changedMs: Date.now(),
        });
        uploads.delete(uploadId);
        return { status: 200, body: "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>" };
      }
      default:
        uploads.delete(uploadId ?? "");
        return { status: 204 };
    }
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = "", url = "" } = request;
    const body = await buffer(request);
    const fault = faults.find(({ pattern, left }) => left > 0 && pattern.test(`${method} ${url}`));
    if (fault !== undefined) fault.left -= 1;
    if (fault !== undefined && fault.how.status === undefined) {
      requests.push({ method, url, host: request.headers.host ?? "", status: 0 });
      request.socket.destroy();
      return;
    }
    const {
      status,
      body: text = "",
      headers = {},
    } = fault === undefined ? answer(request, body) : { ...fault.how, status: fault.how.status ?? 500 };
    requests.push({ method, url, host: request.headers.host ?? "", status });
    const bytes = Buffer.from(text);
    response.writeHead(status, { ...headers, ...(status === 204 ? {} : { "content-length": bytes.length }) });
    response.end(method === "HEAD" ? undefined : bytes);
  };
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a server that listens on TCP has such an address
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    requests,
    objects,
    uploads,
    expire(pattern) {
      for (const key of objects.keys()) if (pattern.test(key)) objects.delete(key);
    },
    put: (key, text) => objects.set(key, { bytes: Buffer.from(text), changedMs: Date.now() }),
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

function failure(status: number, code: string, message = ""): Answer {
  return { status, body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>` };
}

/** Computes a request's signature anew, from what arrived. */
function refusalOf(
  request: IncomingMessage,
  body: Buffer,
  { region, keys }: { readonly region: string; readonly keys: Keys },
): string | undefined {
  const { headers, method = "", url = "" } = request;
  const [, id, day = "", given, list = "", signature] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)$/.exec(
      headers.authorization ?? "",
    ) ?? [];
  if (id !== keys.id) return "InvalidAccessKeyId";
  if (given !== region) return "AuthorizationHeaderMalformed";
  if (headers["x-amz-security-token"] !== keys.token) return "InvalidToken";
  const unsigned = Object.keys(headers).filter((name) => name.startsWith("x-amz-") && !list.split(";").includes(name));
  if (unsigned.length > 0 || !list.split(";").includes("host")) return "AccessDenied";
  const hex = createHash("sha256").update(body).digest("hex");
  if (headers["x-amz-content-sha256"] !== hex) return "XAmzContentSHA256Mismatch";
  const [path = "", query = ""] = url.split("?");
  const lines = list.split(";").map((name) => `${name}:${String(headers[name])}`);
  const canonical = [method, path, query.split("&").toSorted().join("&"), ...lines, "", list, hex].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const time = String(headers["x-amz-date"]);
  const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${createHash("sha256").update(canonical).digest("hex")}`;
  let key: Buffer = Buffer.from(`AWS4${keys.secret}`);
  for (const part of scope.split("/")) key = createHmac("sha256", key).update(part).digest();
  return createHmac("sha256", key).update(text).digest("hex") === signature ? undefined : "SignatureDoesNotMatch";
}
