import type { ProgressSink } from "../../lib/core/progress.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { StepLog } from "../../lib/store/store.ts";
import type { Clock } from "../ports.ts";

/** Lines of a failed command's log that its error shows. */
const TAIL_LINES = 20;
/** UTF-16 code units kept for them; a line may be long. */
const TAIL_LENGTH = 16 * 1024;

/** Where a command's output goes: to the log file, to whoever watches, and its end is kept for the error. */
export class OutputLog {
  readonly #step: Digest;
  readonly #log: StepLog;
  readonly #progress: ProgressSink;
  readonly #clock: Clock;
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  #tail = "";

  constructor(step: Digest, on: { readonly log: StepLog; readonly progress: ProgressSink; readonly clock: Clock }) {
    this.#step = step;
    this.#log = on.log;
    this.#progress = on.progress;
    this.#clock = on.clock;
  }

  write(stream: "stdout" | "stderr", chunk: Uint8Array): void {
    this.#log.write(chunk);
    this.#show(stream, this.#decoders[stream].decode(chunk, { stream: true }));
  }

  /** Shows what is left of a character that was never finished. */
  end(): void {
    for (const stream of ["stdout", "stderr"] as const) this.#show(stream, this.#decoders[stream].decode());
  }

  tail(): string {
    return this.#tail.trimEnd().split("\n").slice(-TAIL_LINES).join("\n");
  }

  #show(stream: "stdout" | "stderr", data: string): void {
    if (data === "") return;
    this.#tail = (this.#tail + data).slice(-TAIL_LENGTH);
    this.#progress({ kind: "log", id: this.#step, stream, data, atMs: this.#clock.nowMs() });
  }
}
