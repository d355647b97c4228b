import type { ServerResponse } from "node:http";
import { answerText } from "./status.ts";

/** A message of docker's streams: `stream`, `status` with `id` and `progressDetail`, `aux`, `error`. */
export type JsonMessage = Readonly<Record<string, unknown>>;

/** Bytes waiting from which on progress that a later message replaces is left out. */
const CROWDED_BYTES = 1 << 20;
/** Bytes waiting from which on the client counts as one that has stopped reading. */
const STALLED_BYTES = 64 << 20;

/**
 * A stream of JSON messages, one a line. The answer begins with the first one: until then a failure is an answer of its own
 * with a status.
 */
export class MessageStream {
  readonly #response: ServerResponse;
  #hasBegun = false;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  send(message: JsonMessage): void {
    const response = this.#response;
    if (response.destroyed || response.writableEnded) return;
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      response.writeHead(200, { "Content-Type": "application/json" });
    }
    if (response.writableLength > STALLED_BYTES) {
      response.destroy();
      return;
    }
    response.write(`${JSON.stringify(message)}\r\n`);
  }

  /** Sends a message that a later one replaces. */
  sendPassing(message: JsonMessage): void {
    if (this.#response.writableLength < CROWDED_BYTES) this.send(message);
  }

  /** Ends the stream with an error. */
  fail(error: unknown): void {
    const message = answerText(error);
    const code = /did not complete successfully: exit code: (\d+)$/.exec(
      error instanceof Error ? error.message : "",
    )?.[1];
    const errorDetail = code === undefined ? { message } : { code: Number(code), message };
    this.send({ errorDetail, error: message });
    this.end();
  }

  /** Ends the answer; one without messages is empty. */
  end(): void {
    if (!this.#hasBegun) this.#response.writeHead(200, { "Content-Type": "application/json" });
    this.#response.end();
  }
}
