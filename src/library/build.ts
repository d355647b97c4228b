import { Readable } from "node:stream";
import { isRecord } from "../../lib/core/json.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import type { BuildResult } from "../engine/build-result.ts";
import type { BuildReport } from "../engine/report.ts";
import type { PlainBuildOptions } from "./build-here.ts";
import { request } from "./requests.ts";
import { type Work, startWork } from "./work.ts";

/** A build for a program. Every option may be left out: `build()` builds the working directory into the local store. */
export interface LibraryBuildOptions extends PlainBuildOptions {
  /** The archive or Dockerfile for a context of `-`. */
  readonly stdin?: Readable | Uint8Array | string | undefined;
  /** Ends the build when it is aborted: the promise is then rejected with `build/cancelled`. */
  readonly signal?: AbortSignal | undefined;
  /** Called with each event; the alternative to iterating the returned work. Must not throw. */
  readonly onProgress?: ProgressSink | undefined;
  /** Receives the outcome of every step, also when the build fails. Must not throw. */
  readonly onReport?: ((report: BuildReport) => void) | undefined;
}

/**
 * Builds an image. The result is a promise, rejected with a BuildError, and an iterable of progress:
 * `for await (const event of build({ tags: ["app"] }))`.
 */
export function build(options: LibraryBuildOptions = {}): Work<BuildResult> {
  const { signal, stdin, onProgress, onReport, ...plain } = options;
  return startWork((tell) => {
    const progress: ProgressSink = (event) => {
      tell(event);
      onProgress?.(event);
    };
    return request(
      { name: "build", options: plain },
      { progress, onReport, stdin: bytesOf(stdin) },
      signal,
      isBuildResult,
    );
  });
}

/** Makes a stream of bytes: a program's stream may give texts. */
function bytesOf(given: LibraryBuildOptions["stdin"]): Readable | undefined {
  if (given === undefined) return undefined;
  const source: AsyncIterable<unknown> | readonly unknown[] = given instanceof Readable ? given : [given];
  async function* chunks(): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of source) {
      if (typeof chunk === "string") yield Buffer.from(chunk);
      else if (chunk instanceof Uint8Array) yield chunk;
      else throw new TypeError("stdin is to give texts or bytes");
    }
  }
  return Readable.from(chunks(), { objectMode: false });
}

function isBuildResult(value: unknown): value is BuildResult {
  return isRecord(value) && Array.isArray(value["names"]) && isRecord(value["steps"]);
}
