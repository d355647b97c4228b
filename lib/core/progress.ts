/**
 * What happens during a build, as plain JSON events in the order they happen. One stream feeds the terminal, the plain
 * log, the JSON output, a report. Times are milliseconds since the Unix epoch.
 */
export type ProgressEvent =
  /** A line of the display: a step of the Dockerfile or internal work (`[internal] load .dockerignore`). */
  | { readonly kind: "step-started"; readonly id: string; readonly name: string; readonly atMs: number }
  /** Ends a step that needed no work, started or not. */
  | { readonly kind: "step-cached"; readonly id: string; readonly name: string; readonly atMs: number }
  | { readonly kind: "step-done"; readonly id: string; readonly atMs: number; readonly usage?: StepUsage | undefined }
  | { readonly kind: "step-failed"; readonly id: string; readonly atMs: number; readonly message: string }
  | { readonly kind: "step-cancelled"; readonly id: string; readonly atMs: number }
  /** Why a step runs: one line, as in `ARG GIT_SHA changed`. Comes before its `step-started`. */
  | {
      readonly kind: "step-miss";
      readonly id: string;
      readonly name: string;
      readonly reason: string;
      /** `build`: the same for every step that nothing more is known of, so that people need to read it only once. */
      readonly concerns: "build" | "step";
    }
  /** Output of a command. `data` is text decoded as UTF-8, cut anywhere. */
  | {
      readonly kind: "log";
      readonly id: string;
      readonly stream: "stdout" | "stderr";
      readonly data: string;
      readonly atMs: number;
    }
  /** Counted work inside a step: bytes of a layer, files of a context. The same `item` again replaces the earlier one. */
  | {
      readonly kind: "status";
      readonly id: string;
      readonly item: string;
      readonly current: number;
      readonly total: number | undefined;
      readonly unit: "bytes" | "files";
      readonly done: boolean;
      readonly atMs: number;
    }
  /** Said once: a fallback and what it costs, a build check that failed. */
  | {
      readonly kind: "notice";
      readonly level: "info" | "warning";
      readonly message: string;
      readonly hint: string | undefined;
    };

/** What the command of a step took. Absent members are not known on this machine. */
export type StepUsage = {
  readonly cpuMs: number;
  /** Of the whole container where a memory controller counts it, else of its largest process. */
  readonly peakMemoryBytes?: number | undefined;
  /** From and to disks; what was in the page cache does not count. */
  readonly readBytes?: number | undefined;
  readonly writtenBytes?: number | undefined;
};

/** Takes events; never throws and never waits. */
export type ProgressSink = (event: ProgressEvent) => void;
