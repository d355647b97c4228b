import { printableJson } from "../../lib/core/printable.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import type { ProgressOutput, ProgressDisplay } from "./display.ts";
import { plainDisplay } from "./plain.ts";
import { rawJsonDisplay } from "./raw-json.ts";
import { ttyDisplay } from "./tty.ts";

/**
 * A way of showing a build. `rawjson` is BuildKit's form, `events` the one of `docs/events.md`. `quiet` and `none` show
 * nothing; errors and the result are the caller's to print.
 */
export type ProgressMode = "tty" | "plain" | "plain-in-order" | "rawjson" | "events" | "quiet" | "none";

/** Version of the lines that `events` writes; raise it when a member changes its meaning. */
const EVENTS_VERSION = 1;

export function createProgress(mode: ProgressMode, output: ProgressOutput): ProgressDisplay {
  switch (mode) {
    case "tty":
      return ttyDisplay(output);
    case "plain":
      return plainDisplay(output, "as-it-comes");
    case "plain-in-order":
      return plainDisplay(output, "in-order");
    case "rawjson":
      return rawJsonDisplay(output);
    case "events":
      return eventsDisplay(output);
    case "quiet":
    case "none":
      return { sink: () => {}, finish: () => {} };
    default:
      return mode satisfies never;
  }
}

/** Writes events as they come, one JSON object a line, between a first line with the version and a last one. */
function eventsDisplay(output: ProgressOutput): ProgressDisplay {
  let begun = false;
  let finished = false;
  const write = (value: ProgressEvent | EventsFrame): void => output.write(`${printableJson(value)}\n`);
  const begin = (): void => {
    if (!begun) write({ kind: "stream-started", version: EVENTS_VERSION, atMs: output.nowMs() });
    begun = true;
  };
  return {
    sink(event) {
      if (finished) return;
      begin();
      write(event);
    },
    finish(outcome) {
      if (finished) return;
      begin();
      finished = true;
      write({ kind: "stream-ended", outcome, atMs: output.nowMs() });
    },
  };
}

/** The first and the last line of `events`. */
type EventsFrame =
  | { readonly kind: "stream-started"; readonly version: number; readonly atMs: number }
  | { readonly kind: "stream-ended"; readonly outcome: "success" | "failure"; readonly atMs: number };
