import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BuildError, ERROR_CODES } from "../../lib/core/errors.ts";
import { isRecord } from "../../lib/core/json.ts";
import { namespaceEnvironment } from "./process-environment.ts";
import type { ProgressEvent, ProgressSink } from "../../lib/core/progress.ts";

/*
 * Work in a process of its own. A user without the right to mount needs a user namespace, and a process with threads, as every Node, cannot
 * enter one. So the library starts a Node inside of one, through the runtime as the launcher of the command line does, and
 * talks with it:
 *
 *     parent -> child   start { request }, cancel
 *     child -> parent   event { event } ..., extra { value } ..., then result { value } or failure { error }
 *
 * The child ends when its parent does.
 */

/** A message to the child; a request is plain data, which the two processes know and this file does not. */
export type ToChild = { readonly kind: "start"; readonly request: object } | { readonly kind: "cancel" };
export type ToParent =
  | { readonly kind: "event"; readonly event: ProgressEvent }
  /** A value for a callback besides progress: a build's report. */
  | { readonly kind: "extra"; readonly value: unknown }
  | { readonly kind: "result"; readonly value: unknown }
  | { readonly kind: "failure"; readonly error: SentError };

/** An error on its way between two processes. */
export interface SentError {
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly detail: string | undefined;
}

/** Does a request in a child process, and returns what it returned. */
export async function runApart(
  request: object,
  given: {
    readonly runtimePath: string;
    readonly progress: ProgressSink;
    readonly onExtra?: ((value: unknown) => void) | undefined;
    readonly stdin?: Readable | undefined;
  },
  signal: AbortSignal,
): Promise<unknown> {
  signal.throwIfAborted();
  const child = spawn(given.runtimePath, ["enter", process.execPath, "--no-warnings", workerPath()], {
    stdio: [given.stdin === undefined ? "ignore" : "pipe", "ignore", "inherit", "ipc"],
    serialization: "advanced",
    env: namespaceEnvironment(),
  });
  const fed = given.stdin === undefined || child.stdin === null ? undefined : pipeline(given.stdin, child.stdin);
  // A child that ends without reading it all has its own reason.
  fed?.catch(() => undefined);
  const cancel = (): void => send(child, { kind: "cancel" });
  signal.addEventListener("abort", cancel, { once: true });
  try {
    return await answer(child, request, given);
  } finally {
    signal.removeEventListener("abort", cancel);
    if (child.connected) child.disconnect();
  }
}

function answer(
  child: ChildProcess,
  request: object,
  given: { readonly progress: ProgressSink; readonly onExtra?: ((value: unknown) => void) | undefined },
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.once("error", (error) =>
      reject(new BuildError("runtime/failed", `Cannot start the process of a build: ${error.message}`)),
    );
    child.once("exit", (code, by) =>
      reject(new BuildError("runtime/failed", `The process of a build ended early, with ${by ?? `status ${code}`}`)),
    );
    child.on("message", (message: unknown) => {
      if (!isToParent(message)) return;
      if (message.kind === "event") given.progress(message.event);
      else if (message.kind === "extra") given.onExtra?.(message.value);
      else if (message.kind === "result") resolve(message.value);
      else reject(received(message.error));
    });
    send(child, { kind: "start", request });
  });
}

function send(child: ChildProcess, message: ToChild): void {
  // A child that has ended is told by its "exit".
  if (child.connected) child.send(message, () => undefined);
}

function isToParent(message: unknown): message is ToParent {
  return isRecord(message) && typeof message["kind"] === "string";
}

/** Makes an error of ours again. Another one is a mistake of kiln's. */
function received({ code, message, hint, detail }: SentError): Error {
  const known = ERROR_CODES.find((one) => one === code);
  return known === undefined ? new Error(message) : new BuildError(known, message, { hint, detail });
}

/** Finds the child's program: in the bundle, and beside this file in the sources. */
function workerPath(): string {
  return join(import.meta.dirname, import.meta.filename.endsWith(".ts") ? "worker.ts" : "worker.js");
}
