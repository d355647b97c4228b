import type { StepUsage } from "../../lib/core/progress.ts";
import type { MissReason } from "../../solver/cache/explain.ts";
import type { VertexOutcome } from "../../solver/deps.ts";

/**
 * The outcome of each step of one build, and the reasons of those that ran. Plain JSON: the store keeps the last ones.
 */
export interface BuildReport {
  /** Version; raise it when the members change their meaning. */
  readonly version: 1;
  readonly id: string;
  readonly startedAtMs: number;
  /** The context as given: a directory, a URL or `-`. */
  readonly context: string;
  readonly target: string | undefined;
  /** The requested names, as given. */
  readonly tags: readonly string[];
  readonly error: { readonly code: string; readonly message: string } | undefined;
  /** Number of all steps, including those that `steps` leaves out. */
  readonly total: number;
  /** Steps in the order of the Dockerfile. Very large builds list only uncached ones. */
  readonly steps: readonly ReportedStep[];
  /** Facts about the build as a whole; absent in reports of versions that did not know them. */
  readonly record?: BuildRecord | undefined;
}

export interface ReportedStep {
  /** `[build 2/5] RUN make`. */
  readonly name: string;
  readonly stage: string | undefined;
  /** `RUN make`. */
  readonly instruction: string;
  /**
   * `cutoff`: the key was new, and an earlier result of equal inputs was taken. In a failed build, `ran` includes
   * unfinished steps.
   */
  readonly how: VertexOutcome["how"];
  /** Absent for cached steps. */
  readonly miss: MissReason | undefined;
  /** The same as one line: `src/a.ts (content): COPY . .`. */
  readonly why: string | undefined;
  /** Resources that its command used in this build. */
  readonly usage?: StepUsage | undefined;
  /** File and line of its instruction. */
  readonly place?: { readonly file: string; readonly line: number } | undefined;
  /** The cluster or machine that ran it in this build; absent for this one. */
  readonly machine?: string | undefined;
  /** Its end, when it was shown. */
  readonly state?: RecordedWork["state"] | undefined;
  /** Milliseconds since the beginning of the build. */
  readonly startMs?: number | undefined;
  readonly endMs?: number | undefined;
  /** Indexes in `steps` of those that it needed; the first is the one below it, if `isOnFirst`. */
  readonly needs?: readonly number[] | undefined;
  readonly isOnFirst?: boolean | undefined;
  /** Id of the snapshot with its files, and the size of its layer when known. */
  readonly layer?: string | undefined;
  readonly layerBytes?: number | undefined;
  /** Name of its log among the store's. */
  readonly log?: string | undefined;
}

/**
 * Facts about one build beside its steps. Without secrets: values of build arguments and labels that are named like
 * secrets are asterisks wherever they occur, and URLs have no credentials.
 */
export interface BuildRecord {
  /** `interrupted`: the process was killed, so nothing is known of its end. */
  readonly status: "completed" | "failed" | "cancelled" | "interrupted";
  /** Length by a clock that nobody sets; absent for interrupted builds. */
  readonly durationMs?: number | undefined;
  /** The context's directory on this machine. */
  readonly directory?: string | undefined;
  /** Path of the Dockerfile as shown, `services/api/Dockerfile`. */
  readonly dockerfile?: string | undefined;
  /** The checked-out commit of the context's repository, or the commit of a context from git. */
  readonly commit?: string | undefined;
  /** Flags of the build with their values as texts, without secrets. */
  readonly options: Readonly<Record<string, string | readonly string[]>>;
  readonly versions: { readonly kiln: string; readonly node: string };
  readonly steps?: { readonly total: number; readonly cached: number } | undefined;
  readonly result?: RecordedResult | undefined;
  /** Number of findings of the build checks. */
  readonly warnings?: number | undefined;
  /** Work beside the Dockerfile's steps: loading, resolving, exporting. */
  readonly work: readonly RecordedWork[];
}

export interface RecordedResult {
  /** Digest of the image's configuration. */
  readonly imageId?: string | undefined;
  /** Digest of the manifest or index. */
  readonly manifest?: string | undefined;
  readonly names: readonly string[];
  /** Layers of the first platform's image, lowest first. */
  readonly layers: readonly RecordedLayer[];
}

export interface RecordedLayer {
  /** Id of the snapshot. */
  readonly id: string;
  /** Size of its tar, when known. */
  readonly bytes?: number | undefined;
}

/** A line of the display with its times, in milliseconds since the beginning of the build. */
export interface RecordedWork {
  readonly name: string;
  readonly startMs: number;
  /** Absent where the build ended before. */
  readonly endMs?: number | undefined;
  readonly state: "done" | "cached" | "failed" | "cancelled";
}
