import type { Worker } from "node:worker_threads";
import { BuildError, ERROR_CODES } from "../core/errors.ts";
import { Semaphore } from "../core/limits.ts";
import { O_DIRECTORY, O_PATH } from "../native/constants.ts";
import type { Native } from "../native/native.ts";
import type { ScanColumns } from "../native/scan.ts";
import { type LayerMeasure, measureLayer, PACK_SCAN, type PackOptions } from "./pack.ts";

export interface PackPoolOptions {
  readonly native: Native;
  /** The addon's file, which each thread loads for itself. */
  readonly nativePath: string;
  /** pack-worker.ts, or the bundle made from it. */
  readonly workerScript: string | URL;
  /** Threads at most; as many as there are cores to spare. */
  readonly maxWorkers: number;
}

/** Below this a thread costs more (some 20 ms to start, once) than the work. */
const INLINE_ENTRIES = 200;
const INLINE_BYTES = 1 << 20;

type Answer =
  | { readonly id: number; readonly result: LayerMeasure }
  | {
      readonly id: number;
      readonly failure: { readonly message: string; readonly code?: string; readonly stack?: string };
    };

/**
 * Measures layers beside whatever else is going on: small ones at once in this thread, others in worker threads that are
 * started when first needed, used again, and stopped by disposing the pool. An idle pool keeps no process alive.
 */
export class PackPool implements AsyncDisposable {
  readonly #options: PackPoolOptions;
  readonly #permits: Semaphore;
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();
  #next = 0;

  constructor(options: PackPoolOptions) {
    this.#options = options;
    this.#permits = new Semaphore(Math.max(1, options.maxWorkers));
  }

  /** @throws {BuildError} `snapshot/failed` when a file cannot be read; the signal's reason when aborted. */
  async measure(options: PackOptions, signal: AbortSignal): Promise<LayerMeasure> {
    signal.throwIfAborted();
    const { native } = this.#options;
    const dirfd = native.openPath(options.directory, O_PATH | O_DIRECTORY);
    let scan: ScanColumns;
    try {
      scan = (await native.scanTree(dirfd, PACK_SCAN)).columns;
    } finally {
      native.close(dirfd);
    }
    if (isSmall(scan)) return measureLayer(native, { ...options, scan });
    using _permit = await this.#permits.acquire(signal);
    return await this.#inWorker({ ...options, scan }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }

  async #inWorker(options: PackOptions, signal: AbortSignal): Promise<LayerMeasure> {
    const worker = this.#idle.pop() ?? this.#start();
    const id = (this.#next += 1);
    worker.ref();
    const { promise, resolve, reject } = Promise.withResolvers<LayerMeasure>();
    const answered = (answer: Answer): void => {
      if (answer.id !== id) return;
      if ("result" in answer) resolve(answer.result);
      else reject(revive(answer.failure));
    };
    const failed = (error: unknown): void => reject(error);
    const exited = (): void => reject(new Error("The pack worker ended early"));
    // The thread is in the middle of synchronous work: the only way to stop it is to end it.
    const aborted = (): void => {
      this.#all.delete(worker);
      void worker.terminate();
      reject(signal.reason);
    };
    worker.on("message", answered).on("error", failed).on("exit", exited);
    signal.addEventListener("abort", aborted, { once: true });
    try {
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      worker.postMessage({ id, options });
      return await promise;
    } finally {
      signal.removeEventListener("abort", aborted);
      worker.off("message", answered).off("error", failed).off("exit", exited);
      if (this.#all.has(worker)) {
        worker.unref();
        this.#idle.push(worker);
      }
    }
  }

  #start(): Worker {
    const threads = process.getBuiltinModule("node:worker_threads");
    const { workerScript, nativePath } = this.#options;
    const worker = new threads.Worker(workerScript, { workerData: { nativePath } });
    this.#all.add(worker);
    worker.on("exit", () => this.#all.delete(worker));
    // With no listener an error in an idle thread would end the process; the exit that follows takes it out of the pool.
    worker.on("error", () => this.#all.delete(worker));
    return worker;
  }
}

function isSmall(scan: ScanColumns): boolean {
  if (scan.parent.length >= INLINE_ENTRIES) return false;
  let sizeBytes = 0;
  for (const [index, size] of scan.size.entries()) if ((scan.mode[index] ?? 0) >>> 12 === 8) sizeBytes += size;
  return sizeBytes < INLINE_BYTES;
}

function revive(failure: { readonly message: string; readonly code?: string; readonly stack?: string }): Error {
  const code = ERROR_CODES.find((known) => known === failure.code);
  if (code !== undefined) return new BuildError(code, failure.message);
  const error = new Error(failure.message);
  if (failure.stack !== undefined) error.stack = failure.stack;
  return error;
}
