import { BuildError } from "../../lib/core/errors.ts";
import { isRecord } from "../../lib/core/json.ts";
import type { BuildReport } from "../engine/report.ts";
import { runApart } from "./apart.ts";
import { type PlainBuildOptions, buildHere } from "./build-here.ts";
import type { Hooks } from "./hooks.ts";
import { type ImageRequest, imageHere } from "./images-here.ts";
import { needsNamespace, processEnvironment } from "./process-environment.ts";

/** Requests of the library's functions, as plain data: they may travel to another process. */
export type LibraryRequest = { readonly name: "build"; readonly options: PlainBuildOptions } | ImageRequest;

/**
 * Does a request in this process, or, for a user who may not mount, in a child process.
 * @param fits checks what came back from another process
 */
export async function request<T>(
  asked: LibraryRequest,
  hooks: Omit<Hooks, "signal">,
  signal: AbortSignal | undefined,
  fits: (value: unknown) => value is T,
): Promise<T> {
  const own = signal ?? new AbortController().signal;
  try {
    own.throwIfAborted();
    const value = needsNamespace() ? await apart(asked, hooks, own) : await doHere(asked, { ...hooks, signal: own });
    if (fits(value)) return value;
    throw new Error(`kiln's ${asked.name} gave something else than its result`);
  } catch (error) {
    if (!own.aborted || (error instanceof BuildError && error.code === "build/cancelled")) throw error;
    throw new BuildError("build/cancelled", "Cancelled by the program", { cause: own.reason });
  }
}

/** Does a request in this process. */
export async function doHere(asked: unknown, hooks: Hooks): Promise<unknown> {
  if (!isRequest(asked)) throw new Error("kiln's library was asked for something unknown");
  return asked.name === "build" ? buildHere(asked.options, hooks) : imageHere(asked, hooks);
}

async function apart(asked: LibraryRequest, hooks: Omit<Hooks, "signal">, signal: AbortSignal): Promise<unknown> {
  const { runtimePath } = processEnvironment(asked.options);
  const { progress, onReport, stdin } = hooks;
  const isReport = (value: unknown): value is BuildReport => isRecord(value) && value["version"] === 1;
  const onExtra = (value: unknown): void => {
    if (isReport(value)) onReport?.(value);
  };
  return runApart(asked, { runtimePath, progress, onExtra, stdin }, signal);
}

function isRequest(value: unknown): value is LibraryRequest {
  if (!isRecord(value) || !isRecord(value["options"])) return false;
  const { name, image } = value;
  return name === "build" || (["pull", "push", "inspect"].includes(String(name)) && typeof image === "string");
}
