/**
 * An event of a build, as plain JSON, in order. One stream feeds the terminal, the plain log, the JSON output and the
 * report. Times are milliseconds since the Unix epoch.
 */
export type ProgressEvent =
  /** A line of the display: an instruction of the Dockerfile or internal work (`[internal] load .dockerignore`). */
  | { readonly kind: "step-started"; readonly id: string; readonly name: string; readonly atMs: number }
  /** Ends a step that needed no work, started or not. */
  | { readonly kind: "step-cached"; readonly id: string; readonly name: string; readonly atMs: number }
  | { readonly kind: "step-done"; readonly id: string; readonly atMs: number; readonly usage?: StepUsage | undefined }
  | { readonly kind: "step-failed"; readonly id: string; readonly atMs: number; readonly message: string }
  | { readonly kind: "step-cancelled"; readonly id: string; readonly atMs: number }
  /** The reason why a step runs, in one line, as in `ARG GIT_SHA changed`. It comes before the `step-started`. */
  | {
      readonly kind: "step-miss";
      readonly id: string;
      readonly name: string;
      readonly reason: string;
      /**
       * `build`: the reason is the same for every step without a more specific one, so it needs to be shown only once.
       */
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
  /** A message that is shown once: a fallback and its cost, or a failed build check. */
  | {
      readonly kind: "notice";
      readonly level: "info" | "warning";
      readonly message: string;
      readonly hint: string | undefined;
    };

/** The resources that a step's command used. Absent members are not measurable on this machine. */
export type StepUsage = {
  readonly cpuMs: number;
  /** Peak of the whole container where a memory controller counts it, otherwise of its largest process. */
  readonly peakMemoryBytes?: number | undefined;
  /** Bytes read from disks; reads from the page cache do not count. */
  readonly readBytes?: number | undefined;
  readonly writtenBytes?: number | undefined;
};

/** Takes events; never throws and never waits. */
export type ProgressSink = (event: ProgressEvent) => void;
