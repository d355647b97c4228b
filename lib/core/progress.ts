/**
 * An event of a build, as plain JSON, in order. One stream feeds the terminal, the plain log, the JSON output and the
 * report. Times are milliseconds since the Unix epoch.
 */
export type ProgressEvent =
  /**
   * The work of a build, once, before its steps begin: the display knows how many there will be. A build that starts
   * over sends another one, which replaces the first. Loading of metadata and other internal work is not listed.
   */
  | {
      readonly kind: "plan";
      /** Names the build where one display shows several. */
      readonly id: string;
      /** Steps in the order of the Dockerfile. Each one will end as cached, done, failed or cancelled. */
      readonly steps: readonly PlannedStep[];
      /** Number of results to write: each one is a step of its own. */
      readonly outputs: number;
      readonly atMs: number;
    }
  /** A line of the display: an instruction of the Dockerfile or internal work (`[internal] load .dockerignore`). */
  | {
      readonly kind: "step-started";
      readonly id: string;
      readonly name: string;
      readonly atMs: number;
      /** The cluster or machine that runs the step; absent for this one. */
      readonly machine?: string | undefined;
    }
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
  /** A result that is complete, reported by its own step. */
  | { readonly kind: "output"; readonly id: string; readonly output: MadeOutput; readonly atMs: number }
  /**
   * A finding of the build checks, when the Dockerfile has been read. Displays for people leave it to their caller, which
   * lists all of them after a build that succeeded.
   */
  | {
      readonly kind: "finding";
      /** The step that read the Dockerfile. */
      readonly id: string;
      readonly finding: CheckFinding;
      readonly atMs: number;
    }
  /** A message that is shown once: a fallback and its cost. */
  | {
      readonly kind: "notice";
      readonly level: "info" | "warning";
      readonly message: string;
      readonly hint: string | undefined;
    };

/** A step of a plan. */
export type PlannedStep = {
  readonly id: string;
  /** `[build 2/5] RUN make`. */
  readonly name: string;
  readonly stage?: string | undefined;
  /** Ids of the planned steps whose files it reads. */
  readonly inputs: readonly string[];
};

/** A result that was written: an image, files, or the cache for other machines. */
export type MadeOutput = {
  readonly kind: "image" | "files" | "cache";
  /** `in the local store`, `pushed`, `in docker`, `as an OCI archive in out.tar`, `as files in out`. */
  readonly place: string;
  /** Full references; empty for files, and for an image without a name. */
  readonly names: readonly string[];
  /** Digest of the image's configuration; absent for files, and for several platforms. */
  readonly imageId?: string | undefined;
  /** Digest of the manifest, or for several platforms of the index. */
  readonly digest?: string | undefined;
  /** Sum of the layers as unpacked, as far as it is known. */
  readonly sizeBytes: number;
  readonly layers: number;
  readonly platforms: number;
};

/** A finding of a build check. */
export type CheckFinding = {
  /** `StageNameCasing`. */
  readonly rule: string;
  /** The problem, with the names involved, in one line. */
  readonly message: string;
  /** The rule's general explanation. */
  readonly description: string;
  /** Page that explains the rule. */
  readonly url?: string | undefined;
  /** Name of the Dockerfile as shown: `Dockerfile`, `<stdin>`. */
  readonly file: string;
  /** First and last line, counted from 1. */
  readonly lines: readonly [first: number, last: number];
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
