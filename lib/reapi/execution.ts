import { digestFromHex } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { type BlobName, toBlobDigest } from "./blobs.ts";
import { type Channel, LONG_WAIT_MS } from "./channel.ts";
import { CallError, CODES, isPassing } from "./failure.ts";
import {
  type ActionResult,
  ExecuteOperationMetadata,
  ExecuteResponse,
  METHODS,
  type Operation,
  PreconditionFailure,
  type RpcStatus,
  SHA256,
} from "./protocol.ts";

/** News of an action while it is waited for. */
export interface ExecutionEvents {
  /** The action's name for people. */
  readonly name: string;
  /** A worker has begun. It may be told again, when another worker begins anew. */
  readonly onStarted?: (() => void) | undefined;
  /** Names of the streams of the command's output, where the server has them. */
  readonly onStreams?: ((streams: { readonly stdout: string; readonly stderr: string }) => void) | undefined;
}

export interface ExecutedAction {
  readonly result: ActionResult;
  /** True for a result of the action cache. */
  readonly isCached: boolean;
}

/** The server needs blobs that it has not, or not any more. */
export class MissingInputsError extends Error {
  override readonly name = "MissingInputsError";
  /** The missing blobs; empty where the server does not say. */
  readonly blobs: readonly BlobName[];

  constructor(blobs: readonly BlobName[], message: string) {
    super(message);
    this.blobs = blobs;
  }
}

/** Runs of one action that may be lost, with their worker, before it is given up. */
const MAX_RUNS = 5;

/** Runs actions. An action that was asked for and is not wanted any more is cancelled. */
export class Execution {
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /**
   * Runs an action and waits for its end: through broken connections, restarts of the server and lost workers.
   * @throws {MissingInputsError} before it runs
   * @throws {BuildError} `remote/...`
   */
  async run(
    action: BlobName,
    options: { readonly priority: number; readonly skipsCache: boolean },
    events: ExecutionEvents,
    signal: AbortSignal,
  ): Promise<ExecutedAction> {
    const request = {
      instanceName: this.#channel.place.instance,
      digestFunction: SHA256,
      skipCacheLookup: options.skipsCache,
      actionDigest: toBlobDigest(action),
      executionPolicy: { priority: options.priority },
    };
    let lost = 0;
    return this.#channel.retrying(`run ${events.name}`, signal, async () => {
      try {
        return await this.#attempt(request, events, signal);
      } catch (error) {
        if (!(error instanceof CallError) || !isPassing(error) || error.code === CODES.resourceExhausted) throw error;
        // A connection that broke is a matter of patience; workers that die one after the other die of this action.
        if (error instanceof LostRunError && (lost += 1) >= MAX_RUNS) {
          throw new BuildError(
            "remote/failed",
            `Cannot run ${events.name}: ${lost} workers were lost: ${error.message}`,
          );
        }
        throw error;
      }
    });
  }

  async #attempt(
    request: Parameters<typeof METHODS.execute.request.encode>[0],
    events: ExecutionEvents,
    signal: AbortSignal,
  ): Promise<ExecutedAction> {
    const wait = new LongWait(events.name, this.#channel);
    let name = "";
    try {
      using _ = wait;
      let answers = this.#channel.listen(METHODS.execute, request, signal);
      for (let broken = 0; ;) {
        try {
          for await (const operation of answers) {
            broken = 0;
            if (operation.name !== "") name = operation.name;
            const done = resultOf(operation);
            if (done !== undefined) return done;
            tell(operation, wait, events);
          }
          throw new CallError(CODES.unavailable, "the stream ended before the action");
        } catch (error) {
          signal.throwIfAborted();
          // An action that was accepted goes on without its listener.
          if (!isBroken(error) || name === "") throw error;
          if ((broken += 1) > MAX_RUNS) throw error;
          await this.#channel.pause(broken, signal);
          answers = this.#channel.listen(METHODS.waitExecution, { name }, signal);
        }
      }
    } catch (error) {
      if (signal.aborted && name !== "") await this.#cancel(name);
      // The server has forgotten the operation: it was started again.
      if (error instanceof CallError && error.code === CODES.notFound && name !== "") {
        throw new LostRunError(CODES.unavailable, "the server does not know the action any more");
      }
      throw error;
    }
  }

  /** Ends an operation that nobody waits for. The server's answer is not waited for long. */
  async #cancel(name: string): Promise<void> {
    try {
      await this.#channel.askOnce(METHODS.cancelOperation, { name }, AbortSignal.timeout(CANCEL_MS));
    } catch {
      // It ends by its own time limit then.
    }
  }
}

const CANCEL_MS = 2000;

/** A run that ended with its worker. */
class LostRunError extends CallError {}

function isBroken(error: unknown): boolean {
  return (
    error instanceof CallError && !(error instanceof LostRunError) && error.code !== CODES.notFound && isPassing(error)
  );
}

function resultOf(operation: Operation): ExecutedAction | undefined {
  if (!operation.done) return undefined;
  if (operation.error !== undefined && operation.error.code !== CODES.ok) throw statusError(operation.error);
  const { value } = operation.response ?? { value: new Uint8Array() };
  const { result, cachedResult, status, message } = ExecuteResponse.decode(value);
  if (status !== undefined && status.code !== CODES.ok) throw statusError(status, message);
  if (result === undefined) throw new CallError(CODES.dataLoss, "the server sent no result");
  return { result, isCached: cachedResult };
}

function statusError({ code, message, details }: RpcStatus, more = ""): Error {
  const text = [message, more].filter((one) => one !== "").join(": ");
  const violations = details
    .filter(({ typeUrl }) => typeUrl.endsWith("/google.rpc.PreconditionFailure"))
    .flatMap(({ value }) => PreconditionFailure.decode(value).violations);
  const blobs = violations.flatMap(({ type, subject }) => (type === "MISSING" ? (blobIn(subject) ?? []) : []));
  if (blobs.length > 0) return new MissingInputsError(blobs, text);
  if (code === CODES.failedPrecondition || code === CODES.notFound) return new MissingInputsError([], text);
  return isPassing(new CallError(code, text)) ? new LostRunError(code, text) : new CallError(code, text);
}

/** Reads `blobs/HASH/SIZE`, with an instance's name before it or not. */
function blobIn(subject: string): BlobName | undefined {
  const [, hash, size] = /(?:^|\/)blobs\/(?:sha256\/)?([0-9a-f]{64})\/(\d+)$/.exec(subject) ?? [];
  return hash === undefined || size === undefined ? undefined : { digest: digestFromHex(hash), size: Number(size) };
}

const EXECUTING = 3;

function tell(operation: Operation, wait: LongWait, events: ExecutionEvents): void {
  if (operation.metadata === undefined) return;
  const { stage, stdoutStreamName, stderrStreamName } = ExecuteOperationMetadata.decode(operation.metadata.value);
  if (stdoutStreamName !== "" || stderrStreamName !== "") {
    events.onStreams?.({ stdout: stdoutStreamName, stderr: stderrStreamName });
  }
  if (stage < EXECUTING) return;
  if (wait.isQueued) events.onStarted?.();
  wait.isQueued = false;
}

/** Tells that an action is waited for, once the cluster has not begun with it for long. */
class LongWait implements Disposable {
  isQueued = true;
  readonly #timer: NodeJS.Timeout;

  constructor(name: string, { onWait, place }: Channel) {
    this.#timer = setTimeout(() => {
      if (this.isQueued) onWait(`${name} waits for a free worker of ${JSON.stringify(place.url)}`);
    }, LONG_WAIT_MS);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
