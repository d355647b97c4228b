import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { BuildError } from "../../lib/core/errors.ts";
import { systemFailure } from "../../lib/core/system-failure.ts";
import { badRequest, sendJson, type ServerParts } from "./call.ts";
import { API_VERSION, COMMON_HEADERS } from "./daemon.ts";
import { MessageStream } from "./message-stream.ts";
import { findRoute, type Match } from "./routes.ts";
import { listenOn } from "./socket.ts";
import { answerText, statusOf } from "./status.ts";

/** A request that has been answered, for a log. Its parameters are left out: build arguments may be secrets. */
export interface ServedRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly wallMs: number;
  /** A failure; other than a BuildError it is a mistake of kiln. */
  readonly error: unknown;
}

export interface ServeOptions extends ServerParts {
  /** Absolute path of the socket. */
  readonly socket: string;
  readonly onListening: () => void;
  readonly onServed: (served: ServedRequest) => void;
}

/** X-Registry-Config has every account of a user. */
const MAX_HEADER_BYTES = 256 << 10;
const MAX_CONNECTIONS = 256;
/** Clients take a connection out of their pool at any time: one that was just closed is an error to them. */
const KEEP_ALIVE_MS = 120_000;
const HEADERS_MS = 30_000;
/** A body that nobody reads any more is dropped for so long, until its client has read the answer. */
const DROP_MS = 10_000;
/** Time for answers to end after the signal. */
const GRACE_MS = 5000;

/** Answers requests until the signal is aborted; then ends all of them. */
export async function serveApi(options: ServeOptions, signal: AbortSignal): Promise<void> {
  const running = new Set<Promise<void>>();
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_MS,
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
    },
    (request, response) => {
      const answered = answer(request, response, options, signal).finally(() => running.delete(answered));
      running.add(answered);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on("clientError", (_error, socket) => {
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  });
  using _place = await listenOn(server, options.socket);
  const { promise: failed, reject } = Promise.withResolvers<never>();
  server.on("error", reject);
  options.onListening();
  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  try {
    await Promise.race([stopped, failed]);
  } finally {
    server.close();
    server.closeIdleConnections();
    const grace = new AbortController();
    const late = wait(GRACE_MS, undefined, { signal: grace.signal }).catch(() => undefined);
    await Promise.race([Promise.all(running), late]);
    grace.abort();
    server.closeAllConnections();
    await Promise.all(running);
  }
}

/** Answers one request. Never rejects. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: ServeOptions,
  signal: AbortSignal,
): Promise<void> {
  const { environment } = options;
  const startedMs = environment.nowMs();
  const gone = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) gone.abort(new BuildError("build/cancelled", "The client went away"));
    dropRest(request);
  });
  // The client's end of an answer is no news.
  response.on("error", () => undefined);
  request.on("error", () => undefined);
  for (const [name, value] of Object.entries(COMMON_HEADERS)) response.setHeader(name, value);
  const messages = new MessageStream(response);
  const target = targetOf(request);
  let failure: unknown;
  try {
    const match = await routeOf(request.method ?? "", target);
    const both = AbortSignal.any([signal, gone.signal]);
    const { query } = target;
    if (match === undefined) sendJson(response, 404, { message: "page not found" });
    else
      await match.handler({ server: options, params: match.params, query, request, response, messages, signal: both });
  } catch (error) {
    failure = systemFailure(`answer ${request.method} ${target.path}`, signal.aborted ? signal.reason : error);
    refuse(response, messages, failure);
  }
  options.onServed({
    method: request.method ?? "",
    path: target.path,
    status: response.statusCode,
    wallMs: environment.nowMs() - startedMs,
    error: failure,
  });
}

function refuse(response: ServerResponse, messages: MessageStream, error: unknown): void {
  if (messages.hasBegun) messages.fail(error);
  else if (!response.headersSent) {
    response.removeHeader("Content-Type");
    sendJson(response, statusOf(error), { message: answerText(error) });
  } else response.destroy();
}

/** Reads what is left of a body, for a while, so that its client gets to read the answer. */
function dropRest(request: IncomingMessage): void {
  if (request.complete) return;
  request.resume();
  setTimeout(() => request.destroy(), DROP_MS).unref();
}

interface Target {
  /** The path without the version. */
  readonly path: string;
  readonly version: string | undefined;
  readonly query: URLSearchParams;
}

function targetOf({ url = "/" }: IncomingMessage): Target {
  const mark = url.indexOf("?");
  const raw = mark === -1 ? url : url.slice(0, mark);
  const query = new URLSearchParams(mark === -1 ? "" : url.slice(mark + 1));
  const [, version, rest] = /^\/v(\d+\.\d+)(\/.*)$/s.exec(raw) ?? [];
  return { path: rest ?? raw, version, query };
}

async function routeOf(method: string, { path, version }: Target): Promise<Match | undefined> {
  if (version !== undefined) checkVersion(version);
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch (error) {
    throw badRequest(`Cannot read the path ${JSON.stringify(path)}`, error);
  }
  return findRoute(method, decoded);
}

/** Refuses versions of the API that are not spoken, in the engine's words: clients read them. */
function checkVersion(version: string): void {
  const number = (text: string): number => Number(text.split(".")[0]) * 1000 + Number(text.split(".")[1]);
  const { newest, oldest } = API_VERSION;
  if (number(version) > number(newest))
    throw badRequest(`client version ${version} is too new. Maximum supported API version is ${newest}`);
  if (number(version) < number(oldest))
    throw badRequest(
      `client version ${version} is too old. Minimum supported API version is ${oldest}, please upgrade your client to a newer version`,
    );
}
