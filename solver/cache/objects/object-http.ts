import type { Readable } from "node:stream";
import { BuildError, hintOf, messageOf } from "../../../lib/core/errors.ts";
import { printableLine } from "../../../lib/core/printable.ts";
import { type HttpRequest, type HttpResponse, textOf, type Transport } from "../../../lib/registry/transport.ts";

/** The beginning of an answer that is read for a reason or a document. */
const MAX_ANSWER_BYTES = 1 << 20;

export interface HttpSettings {
  /** Name of the service, for messages: `S3`. */
  readonly service: string;
  /** Texts that must not appear in any message. */
  readonly secrets: readonly string[];
  /** Limit of one request with its answer's body. Absent: only silence ends a request. */
  readonly timeoutMs?: number | undefined;
  /** Finds the reason of a refusal in its body. */
  readonly reasonIn: (body: string) => string | undefined;
  /** Says what to do about a refusal. */
  readonly hintFor: (status: number, reason: string) => string | undefined;
}

export type ObjectRequest = Pick<HttpRequest, "method" | "url" | "headers" | "body">;

/** Requests to a store of objects: failures in words, without secrets, and a limit of time. */
export class ObjectHttp {
  readonly #transport: Transport;
  readonly #settings: HttpSettings;

  constructor(transport: Transport, settings: HttpSettings) {
    this.#transport = transport;
    this.#settings = settings;
  }

  /**
   * Sends a request.
   * @param accepted the statuses that are returned; the caller reads or destroys the body
   * @throws {BuildError} `cache/import-failed` for every other one, and without an answer
   */
  async send(request: ObjectRequest, accepted: readonly number[], signal: AbortSignal): Promise<HttpResponse> {
    const { service, timeoutMs } = this.#settings;
    const limit = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
    const { url } = request;
    const scheme = url.protocol === "http:" ? "http" : "https";
    const host = { name: url.host, authority: url.host, prefix: "", schemes: [scheme], settings: {} } as const;
    let response: HttpResponse;
    try {
      response = await this.#transport.send(
        { ...host, patience: "long" },
        request,
        { doing: `reach ${service}`, registry: url.host, server: `"${url.host}"` },
        limit === undefined ? signal : AbortSignal.any([signal, limit]),
      );
    } catch (error) {
      signal.throwIfAborted();
      if (limit?.aborted === true) throw tooSlow(url, timeoutMs ?? 0);
      const isLost = error instanceof BuildError && error.code === "registry/unreachable";
      const hint = isLost ? "check the address and the network; behind a proxy set HTTPS_PROXY" : hintOf(error);
      throw this.failure(messageOf(error), hint);
    }
    if (accepted.includes(response.status)) return response;
    throw await this.#refusal(response);
  }

  /** Sends a request and reads the whole of a small answer. */
  async text(request: ObjectRequest, accepted: readonly number[], signal: AbortSignal): Promise<string> {
    return textOf(await this.send(request, accepted, signal), MAX_ANSWER_BYTES);
  }

  /** Opens the body of an answer; `undefined` for one of 404. */
  async open(request: ObjectRequest, offsetBytes: number, signal: AbortSignal): Promise<Readable | undefined> {
    const range = offsetBytes === 0 ? {} : { range: `bytes=${offsetBytes}-` };
    const headers = { ...request.headers, ...range };
    const response = await this.send({ ...request, headers }, [200, 206, 404], signal);
    const { status, body } = response;
    if (status === 404) {
      body.destroy();
      return undefined;
    }
    const start = /^bytes (\d+)-/.exec(response.headers.get("content-range")?.[0] ?? "")?.[1];
    if (offsetBytes === 0 || (status === 206 && start === String(offsetBytes))) return body;
    body.destroy();
    throw this.failure(`"${request.url.host}" does not send a part of an object`);
  }

  failure(message: string, hint?: string): BuildError {
    return new BuildError("cache/import-failed", this.#hidden(message), { hint });
  }

  async #refusal(response: HttpResponse): Promise<BuildError> {
    const { service, reasonIn, hintFor } = this.#settings;
    const body = await textOf(response, MAX_ANSWER_BYTES);
    const reason = printableLine((reasonIn(body) ?? "").replaceAll(/\p{Cc}+/gu, " ")).slice(0, 300);
    const said = `${service} answered ${response.status}${reason === "" ? "" : `: ${reason}`}`;
    return this.failure(said, hintFor(response.status, reason));
  }

  /** Takes out secrets: a server may repeat what it was sent. */
  #hidden(text: string): string {
    return this.#settings.secrets.reduce((before, secret) => before.replaceAll(secret, "***"), text);
  }
}

function tooSlow(url: URL, timeoutMs: number): BuildError {
  return new BuildError("cache/import-failed", `"${url.host}" took longer than ${timeoutMs / 1000} s`, {
    hint: "timeout= allows for more",
  });
}
