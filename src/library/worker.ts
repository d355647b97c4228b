import { BuildError, messageOf } from "../../lib/core/errors.ts";
import { isRecord } from "../../lib/core/json.ts";
import type { SentError, ToParent } from "./apart.ts";
import { doHere } from "./requests.ts";

/*
 * The program of the library's child process: does one request of its parent and ends.
 */

const stop = new AbortController();

function tell(message: ToParent): void {
  if (process.connected) process.send?.(message);
}

process.on("disconnect", () => stop.abort(new BuildError("build/cancelled", "Cancelled: the program has ended")));
process.on("message", (message: unknown) => {
  if (!isRecord(message)) return;
  if (message["kind"] === "cancel") stop.abort(new BuildError("build/cancelled", "Cancelled by the program"));
  if (message["kind"] === "start") void answer(message["request"]);
});

async function answer(request: unknown): Promise<void> {
  try {
    const value = await doHere(request, {
      progress: (event) => tell({ kind: "event", event }),
      onReport: (report) => tell({ kind: "extra", value: report }),
      stdin: process.stdin,
      signal: stop.signal,
    });
    tell({ kind: "result", value });
  } catch (error) {
    tell({ kind: "failure", error: sent(error) });
  }
  process.disconnect?.();
}

function sent(error: unknown): SentError {
  if (!(error instanceof BuildError)) {
    const stack = error instanceof Error ? error.stack : undefined;
    return { code: "bug", message: stack ?? messageOf(error), hint: undefined, detail: undefined };
  }
  const { code, message, hint, detail } = error;
  return { code, message, hint, detail };
}
