import type { Readable } from "node:stream";
import type { ProgressSink } from "../../lib/core/progress.ts";
import type { BuildReport } from "../engine/report.ts";

/** The callbacks and streams of a request, which stay in the program's process. */
export interface Hooks {
  readonly progress: ProgressSink;
  readonly onReport?: ((report: BuildReport) => void) | undefined;
  readonly stdin?: Readable | undefined;
  readonly signal: AbortSignal;
}
