import type { IncomingMessage, ServerResponse } from "node:http";
import { PassThrough, type Readable } from "node:stream";
import { BuildError } from "../../lib/core/errors.ts";
import type { Semaphore } from "../../lib/core/limits.ts";
import type { BuildEnvironment } from "../engine/environment.ts";
import type { MessageStream } from "./message-stream.ts";

/** Things that all requests of a server share. */
export interface ServerParts {
  readonly environment: BuildEnvironment;
  /** Permits of builds at one time. */
  readonly builds: Semaphore;
  /** Name and memory of the machine, for `/info`. */
  readonly machine: { readonly name: string; readonly kernel: string; readonly memoryBytes: number };
}

/** One request, for its handler. */
export interface Call {
  readonly server: ServerParts;
  /** The variable parts of the path, decoded. */
  readonly params: readonly string[];
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The answer of handlers that tell their progress. */
  readonly messages: MessageStream;
  /** Aborted when the client goes away and when the server ends. */
  readonly signal: AbortSignal;
}

export type Handler = (call: Call) => Promise<void>;

/** Limit of a request's JSON. */
const MAX_JSON_BYTES = 1 << 20;
/** A body of which nothing comes for so long has lost its client. */
const IDLE_BODY_MS = 300_000;

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": bytes.length });
  response.end(bytes);
}

/**
 * Returns the request's body as a stream that may be destroyed early: the rest is then read and dropped, so that the client
 * gets to read the answer. It fails when the client goes away, and when it sends nothing for minutes.
 */
export function bodyOf(request: IncomingMessage): Readable {
  const body = new PassThrough();
  const fail = (why: string): void => void body.destroy(badRequest(`Cannot read the request: ${why}`));
  const idle = setTimeout(fail, IDLE_BODY_MS, "nothing more came");
  idle.unref();
  const gone = (): void => {
    if (!request.complete) fail("the client went away before its end");
  };
  request.on("data", () => idle.refresh());
  request.once("close", gone);
  request.once("error", gone);
  body.once("close", () => {
    clearTimeout(idle);
    request.unpipe(body);
    request.resume();
  });
  // Its reader gets the error; where there is none any more, nobody asks.
  body.on("error", () => undefined);
  return request.pipe(body);
}

/** Reads a small body; `undefined` for an empty one. */
export async function jsonBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bodyOf(request)) {
    if (!(chunk instanceof Uint8Array)) throw new Error("a body of texts");
    size += chunk.length;
    if (size > MAX_JSON_BYTES) throw badRequest(`Cannot read the request: it has more than ${MAX_JSON_BYTES} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  return text.trim() === "" ? undefined : jsonIn(text, "the body");
}

/** Parses JSON of a client. */
export function jsonIn(text: string, what: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch (error) {
    throw badRequest(`Cannot read ${what}: it is not JSON`, error);
  }
}

/** Reads a parameter as the engine does: nothing, 0, no, false and none are false, anything else is true. */
export function isSet(query: URLSearchParams, name: string): boolean {
  return !["", "0", "no", "false", "none"].includes((query.get(name) ?? "").trim().toLowerCase());
}

export function badRequest(message: string, cause?: unknown): BuildError {
  return new BuildError("serve/request", message, cause === undefined ? {} : { cause });
}

export function unsupported(message: string, hint: string): BuildError {
  return new BuildError("serve/unsupported", message, { hint });
}
