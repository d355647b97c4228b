import type { RunInterval } from "../../../lib/core/run-interval.ts";
import { kernelStamp } from "../../../lib/tree/kernel-clock.ts";
import type { RunRequest, RunResult, Runtime } from "../../ports.ts";

/** A runtime that also records the interval of its last command. */
export class TimedRuntime implements Runtime {
  readonly #runtime: Runtime;
  readonly #directory: string;
  #interval: RunInterval | undefined;

  /** @param directory the layer that the command writes; its file system sets the files' times */
  constructor(runtime: Runtime, directory: string) {
    this.#runtime = runtime;
    this.#directory = directory;
  }

  async run(request: RunRequest, signal: AbortSignal): Promise<RunResult> {
    const fromNs = kernelStamp(this.#directory);
    const result = await this.#runtime.run(request, signal);
    this.#interval = { fromNs, untilNs: kernelStamp(this.#directory) };
    return result;
  }

  /** The interval of an ended command. */
  get interval(): RunInterval {
    if (this.#interval === undefined) throw new Error("No command has run");
    return this.#interval;
  }
}
