import type { ProgressSink } from "../../lib/core/progress.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { StepLog } from "../../lib/store/store.ts";
import type { Clock } from "../ports.ts";

/** Lines of a failed command's log that its error shows. */
const TAIL_LINES = 200;
/** Limit of kept output, in UTF-16 code units; a line may be long. */
const TAIL_LENGTH = 64 * 1024;

/** The destination of a command's output: the log file and the progress display. Its end is kept for the error. */
export class OutputLog {
  readonly #step: Digest;
  readonly #log: StepLog;
  readonly #progress: ProgressSink;
  readonly #clock: Clock;
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  #tail = "";

  constructor(step: Digest, deps: { readonly log: StepLog; readonly progress: ProgressSink; readonly clock: Clock }) {
    this.#step = step;
    this.#log = deps.log;
    this.#progress = deps.progress;
    this.#clock = deps.clock;
  }

  write(stream: "stdout" | "stderr", chunk: Uint8Array): void {
    this.#log.write(chunk);
    this.#show(stream, this.#decoders[stream].decode(chunk, { stream: true }));
  }

  /** Writes the rest of an incomplete character. */
  end(): void {
    for (const stream of ["stdout", "stderr"] as const) this.#show(stream, this.#decoders[stream].decode());
  }

  /** Ends the log; says where it is, `undefined` without output. */
  close(): string | undefined {
    this.#log.close();
    const { sizeBytes, leftOutBytes, path } = this.#log;
    if (sizeBytes === 0) return undefined;
    return leftOutBytes === 0
      ? `the whole log is ${path}`
      : `the log is ${path}, without the last ${leftOutBytes} bytes`;
  }

  tail(): string {
    return this.#tail.slice(-TAIL_LENGTH).trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
  }

  #show(stream: "stdout" | "stderr", data: string): void {
    if (data === "") return;
    this.#tail += data;
    // Not at every chunk: cutting copies what stays.
    if (this.#tail.length > 2 * TAIL_LENGTH) this.#tail = this.#tail.slice(-TAIL_LENGTH);
    this.#progress({ kind: "log", id: this.#step, stream, data, atMs: this.#clock.nowMs() });
  }
}
