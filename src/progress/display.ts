import type { ProgressSink } from "../../lib/core/progress.ts";
import type { FoldMarks } from "./folds.ts";
import type { ProgressColors } from "./colors.ts";
/** A consumer of the event stream. `finish` writes what is pending; events after it are ignored. */
export interface ProgressDisplay {
  readonly sink: ProgressSink;
  finish(outcome: "success" | "failure"): void;
}

/** A display's output and its access to the outside. */
export interface ProgressOutput {
  write(text: string): void;
  /** Called at every frame, so that a resized window is noticed. */
  size(): { readonly columns: number; readonly rows: number };
  /** `false`: none at all. */
  readonly colors: false | ProgressColors;
  /** Lines of a running step's output kept on a terminal; BuildKit's default is 6. */
  readonly logLines: number;
  /** First word of the live display. Default: `Building`. */
  readonly title?: string | undefined;
  /** Milliseconds since the epoch, on the clock that stamps the events. */
  nowMs(): number;
  /** False for a terminal that cuts lines off when its window gets narrower, instead of breaking them. */
  readonly rewraps: boolean;
  /** Calls back when the process goes on after it was stopped, until disposed. Absent where nothing can be said. */
  afterStop?(goesOn: () => void): Disposable;
  /** Markers around what belongs together in the log of a CI service; `undefined` elsewhere. */
  readonly folds?: FoldMarks | undefined;
  /** Calls `tick` regularly until disposed. Must not keep the process alive. */
  every(milliseconds: number, tick: () => void): Disposable;
}
