import { printableJson } from "../core/printable.ts";
import { type ProgressSink } from "../core/progress.ts";
import type { ProgressColors } from "./colors.ts";
import { plainDisplay } from "./plain.ts";
import { ttyDisplay } from "./tty.ts";

/** `quiet` and `none` show nothing; errors and the result are the caller's to print. */
export type ProgressMode = "tty" | "plain" | "rawjson" | "quiet" | "none";

/** Where a display writes and what it may ask of the outside. */
export interface ProgressOutput {
  write(text: string): void;
  /** Asked at every frame, so that a resized window is noticed. */
  size(): { readonly columns: number; readonly rows: number };
  /** `false`: none at all. */
  readonly colors: false | ProgressColors;
  /** Lines of a running step's output kept on a terminal; BuildKit's default is 6. */
  readonly logLines: number;
  /** Milliseconds since the epoch, on the clock that stamps the events. */
  nowMs(): number;
  /** Calls `tick` regularly until disposed. Must not keep the process alive. */
  every(milliseconds: number, tick: () => void): Disposable;
}

/** A consumer of the event stream. `finish` writes what is pending; events after it are ignored. */
export interface ProgressDisplay {
  readonly sink: ProgressSink;
  finish(outcome: "success" | "failure"): void;
}

export function createProgress(mode: ProgressMode, output: ProgressOutput): ProgressDisplay {
  switch (mode) {
    case "tty":
      return ttyDisplay(output);
    case "plain":
      return plainDisplay(output);
    case "rawjson":
      return { sink: (event) => output.write(`${printableJson(event)}\n`), finish: () => {} };
    case "quiet":
    case "none":
      return { sink: () => {}, finish: () => {} };
    default:
      return mode satisfies never;
  }
}
