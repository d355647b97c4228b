import {
  type ChannelCredentials,
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { setTimeout as sleep } from "node:timers/promises";
import { CallError, clusterFailure, CODES, isPassing } from "./failure.ts";
import type { ClusterPlace } from "./place.ts";
import type { Method } from "./protocol.ts";

/** Credentials that a client shows to a cluster. Values go to no other host. */
export interface ClusterAccess {
  /** Sent with every call: `authorization`, and what a proxy wants. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** PEM documents for grpcs; the machine's own authorities unless `ca` is given. */
  readonly tls: {
    readonly ca?: Uint8Array | undefined;
    readonly certificate?: Uint8Array | undefined;
    readonly key?: Uint8Array | undefined;
  };
}

export interface ChannelOptions {
  readonly place: ClusterPlace;
  readonly access: ClusterAccess;
  /** Receives what is waited for once a wait is long. */
  readonly onWait: (message: string) => void;
}

/** Limits of one message: a batch has some megabytes at most. */
const MAX_MESSAGE_BYTES = 32 << 20;
/** The time limit of an answer to a call without a stream. */
const ANSWER_MS = 60_000;
/** Calls are tried again for so long while a server is away; until one was answered, for {@link FIRST_PATIENCE_MS}. */
const PATIENCE_MS = 60_000;
const FIRST_PATIENCE_MS = 3000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 4000;
/** A wait of so long is told. */
export const LONG_WAIT_MS = 10_000;

/** A connection to a cluster, which is made when it is first used, and again when it breaks. */
export class Channel implements Disposable {
  readonly place: ClusterPlace;
  readonly onWait: (message: string) => void;
  readonly #client: Client;
  readonly #metadata: Metadata;
  #hasAnswered = false;

  constructor({ place, access, onWait }: ChannelOptions) {
    this.place = place;
    this.onWait = onWait;
    this.#metadata = new Metadata();
    for (const [name, value] of access.headers) this.#metadata.add(name, value);
    this.#client = new Client(place.address, credentialsOf(place, access), {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
      "grpc.initial_reconnect_backoff_ms": FIRST_PAUSE_MS,
      "grpc.min_reconnect_backoff_ms": FIRST_PAUSE_MS,
      "grpc.max_reconnect_backoff_ms": LONGEST_PAUSE_MS,
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 20_000,
      "grpc.primary_user_agent": "kiln",
    });
  }

  /** Asks and waits for the answer; what may pass is tried again. */
  async ask<Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request>,
    doing: string,
    signal: AbortSignal,
  ): Promise<Response> {
    return this.retrying(doing, signal, () => this.askOnce(method, request, signal));
  }

  /** @throws {CallError} */
  async askOnce<Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request>,
    signal: AbortSignal,
  ): Promise<Response> {
    signal.throwIfAborted();
    const answer = Promise.withResolvers<Response>();
    const call = this.#client.makeUnaryRequest<Partial<Request>, Response>(
      method.path,
      (message) => method.request.encode(message),
      (message) => method.response.decode(message),
      request,
      this.#metadata,
      { deadline: deadlineIn(ANSWER_MS) },
      (error, value) => {
        if (error !== null || value === undefined) answer.reject(callError(error));
        else answer.resolve(value);
      },
    );
    using _ = cancelling(call, signal);
    const value = await orAborted(answer.promise, signal);
    this.#hasAnswered = true;
    return value;
  }

  /** Yields the answers of one call. It ends with a {@link CallError} where the stream breaks. */
  async *listen<Request, Response>(
    method: Method<Request, Response>,
    request: Partial<Request>,
    signal: AbortSignal,
  ): AsyncGenerator<Response, void> {
    signal.throwIfAborted();
    const call: ClientReadableStream<Response> = this.#client.makeServerStreamRequest<Partial<Request>, Response>(
      method.path,
      (message) => method.request.encode(message),
      (message) => method.response.decode(message),
      request,
      this.#metadata,
    );
    using _ = cancelling(call, signal);
    try {
      const answers: AsyncIterable<Response> = call;
      for await (const answer of answers) {
        this.#hasAnswered = true;
        yield answer;
      }
    } catch (error) {
      signal.throwIfAborted();
      throw callError(error);
    } finally {
      call.cancel();
    }
  }

  /** Sends messages in one call, no faster than the server takes them, and returns its answer. */
  async send<Request, Response>(
    method: Method<Request, Response>,
    requests: AsyncIterable<Partial<Request>>,
    signal: AbortSignal,
  ): Promise<Response> {
    signal.throwIfAborted();
    const answer = Promise.withResolvers<Response>();
    const ended = answer.promise.then(
      () => undefined,
      () => undefined,
    );
    let isEnded = false;
    const call = this.#client.makeClientStreamRequest<Partial<Request>, Response>(
      method.path,
      (message) => method.request.encode(message),
      (message) => method.response.decode(message),
      this.#metadata,
      {},
      (error, value) => {
        isEnded = true;
        if (error !== null || value === undefined) answer.reject(callError(error));
        else answer.resolve(value);
      },
    );
    using _ = cancelling(call, signal);
    try {
      for await (const request of requests) {
        // A server may answer before the end: it has the blob already.
        if (isEnded) break;
        if (!call.write(request)) await Promise.race([drained(call), ended]);
      }
      call.end();
    } catch (error) {
      call.cancel();
      await ended;
      signal.throwIfAborted();
      throw error;
    }
    const value = await orAborted(answer.promise, signal);
    this.#hasAnswered = true;
    return value;
  }

  /**
   * Does what may fail for a while until it succeeds, with growing pauses, and says so when it takes long.
   * @throws {BuildError} what is left of a {@link CallError}
   */
  async retrying<T>(doing: string, signal: AbortSignal, work: (attempt: number) => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    let isTold = false;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await work(attempt);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof CallError)) throw error;
        const waitedMs = performance.now() - startedMs;
        const patienceMs = this.#hasAnswered ? PATIENCE_MS : FIRST_PATIENCE_MS;
        // A full server is waited for without an end.
        const isOver = waitedMs > patienceMs && error.code !== CODES.resourceExhausted;
        if (!isPassing(error) || isOver) throw clusterFailure(error, doing, this.place.url);
        if (!isTold && waitedMs > LONG_WAIT_MS) {
          isTold = true;
          this.onWait(`Waiting for ${JSON.stringify(this.place.url)} to ${doing}: ${error.message}`);
        }
        await this.pause(attempt, signal);
      }
    }
  }

  /** Waits before another try. */
  async pause(attempt: number, signal: AbortSignal): Promise<void> {
    await sleep(pauseMs(attempt), undefined, { signal }).catch(() => signal.throwIfAborted());
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** Doubles from try to try. */
function pauseMs(attempt: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 10));
}

function credentialsOf({ isSecure }: ClusterPlace, { tls }: ClusterAccess): ChannelCredentials {
  if (!isSecure) return credentials.createInsecure();
  const { ca, key, certificate } = tls;
  return credentials.createSsl(bufferOf(ca), bufferOf(key), bufferOf(certificate));
}

function bufferOf(bytes: Uint8Array | undefined): Buffer | null {
  return bytes === undefined ? null : Buffer.from(bytes);
}

function deadlineIn(ms: number): Date {
  return new Date(performance.timeOrigin + performance.now() + ms);
}

function cancelling(call: { cancel(): void }, signal: AbortSignal): Disposable {
  const cancel = (): void => call.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", cancel) };
}

async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

async function drained(call: { once(event: "drain", listener: () => void): unknown }): Promise<void> {
  await new Promise<void>((resolve) => {
    call.once("drain", resolve);
  });
}

function callError(error: unknown): CallError {
  if (error instanceof CallError) return error;
  if (isServiceError(error)) return new CallError(error.code, error.details || error.message, error);
  const message = error instanceof Error ? error.message : "the server sent no answer";
  return new CallError(CODES.internal, message, error);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}
