import { type ChildProcess, spawn } from "node:child_process";
import { BuildError, ERROR_CODES } from "../core/errors.ts";
import { Semaphore } from "../core/limits.ts";
import { O_DIRECTORY, O_PATH } from "../native/constants.ts";
import type { Native } from "../native/native.ts";
import type { ScanColumns } from "../native/scan.ts";
import { type LayerMeasure, measureLayer, PACK_SCAN, type PackOptions } from "./pack.ts";
import type { MeasureRequest } from "./pack-worker.ts";

export interface PackPoolOptions {
  readonly native: Native;
  /** The addon's file, which each worker loads for itself. */
  readonly nativePath: string;
  /** Directory given to the addon's `keepOwners`, here and so in each worker. */
  readonly ownersDirectory?: string | undefined;
  /** pack-worker.ts, or the bundle made from it. */
  readonly workerScript: string;
  /** The Node to run it with. */
  readonly execPath: string;
  /** Workers at most; as many as there are cores to spare. */
  readonly maxWorkers: number;
}

/** Below this a worker costs more (some 30 ms to start, once) than the work. */
const INLINE_ENTRIES = 200;
const INLINE_BYTES = 1 << 20;

type Answer =
  | { readonly id: number; readonly result: LayerMeasure }
  | {
      readonly id: number;
      readonly failure: { readonly message: string; readonly code?: string; readonly stack?: string };
    };

/**
 * Measures layers beside whatever else is going on: small ones at once in this thread, others in worker processes that
 * are started when first needed, used again, and stopped by disposing the pool. An idle pool keeps nobody waiting.
 *
 * Processes and not threads, because a thread of a Node that was started from a snapshot with node:crypto in it aborts
 * as soon as it loads node:crypto itself (Node 24), and loading it late would cost every start three milliseconds.
 */
export class PackPool implements AsyncDisposable {
  readonly #options: PackPoolOptions;
  readonly #permits: Semaphore;
  readonly #idle: ChildProcess[] = [];
  readonly #all = new Set<ChildProcess>();
  #next = 0;

  constructor(options: PackPoolOptions) {
    this.#options = options;
    this.#permits = new Semaphore(options.maxWorkers);
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
    await Promise.all([...this.#all].map(stop));
  }

  async #inWorker(options: PackOptions, signal: AbortSignal): Promise<LayerMeasure> {
    const worker = this.#idle.pop() ?? this.#start();
    const id = (this.#next += 1);
    worker.ref();
    worker.channel?.ref();
    const { promise, resolve, reject } = Promise.withResolvers<LayerMeasure>();
    const answered = (message: unknown): void => {
      const answer = message as Answer;
      if (answer.id !== id) return;
      if ("result" in answer) resolve(answer.result);
      else reject(revive(answer.failure));
    };
    const failed = (error: unknown): void => reject(error);
    const exited = (): void => reject(new Error("The pack worker ended early"));
    // The worker is in the middle of synchronous work: the only way to stop it is to end it.
    const aborted = (): void => {
      this.#all.delete(worker);
      worker.kill("SIGKILL");
      reject(signal.reason);
    };
    worker.on("message", answered).on("error", failed).on("exit", exited);
    signal.addEventListener("abort", aborted, { once: true });
    try {
      const { nativePath, ownersDirectory } = this.#options;
      const request: MeasureRequest = { id, nativePath, ownersDirectory, options };
      worker.send(request);
      return await promise;
    } finally {
      signal.removeEventListener("abort", aborted);
      worker.off("message", answered).off("error", failed).off("exit", exited);
      if (this.#all.has(worker)) {
        worker.unref();
        worker.channel?.unref();
        this.#idle.push(worker);
      }
    }
  }

  #start(): ChildProcess {
    const worker = spawn(this.#options.execPath, [this.#options.workerScript], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      // Typed arrays (the scan's columns) and Maps arrive as what they are.
      serialization: "advanced",
    });
    this.#all.add(worker);
    worker.on("exit", () => this.#all.delete(worker));
    // With no listener an error of an idle worker would end this process; the exit that follows takes it out of the pool.
    worker.on("error", () => this.#all.delete(worker));
    return worker;
  }
}

async function stop(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  worker.once("exit", () => resolve());
  worker.ref();
  worker.kill("SIGKILL");
  await promise;
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
