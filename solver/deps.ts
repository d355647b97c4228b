import type { Digest } from "../lib/core/digest.ts";
import type { ProgressSink, StepUsage } from "../lib/core/progress.ts";
import type { Native } from "../lib/native/native.ts";
import type { SnapshotId } from "../lib/store/model.ts";
import type { Store } from "../lib/store/store.ts";
import type { RemoteResults } from "./cache/remote/remote-results.ts";
import type { WeakIsolation } from "./cache/key.ts";
import type { MissReason } from "./cache/explain.ts";
import type { GitOp, HttpOp } from "./graph/op.ts";
import type {
  Clock,
  ContentDigests,
  ImageSource,
  RemoteSource,
  RemoteSteps,
  Runtime,
  SecretSource,
  Snapshotter,
  SshSource,
  ExecSettings,
} from "./ports.ts";
import type { SharedSchedule } from "./shared-schedule.ts";
import type { LocalSource } from "./sources/local/local-source.ts";

/** Dependencies of the solver. The caller creates them and closes those that need closing. */
export interface SolverDeps {
  readonly store: Store;
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  readonly runtime: Runtime;
  /** The weak isolation of the runtime's commands, a part of their keys; absent for full isolation. */
  readonly isolation?: WeakIsolation | undefined;
  readonly images: ImageSource;
  /** Sources by `LocalOp.name`. */
  readonly locals: ReadonlyMap<string, LocalSource>;
  readonly http: RemoteSource<HttpOp>;
  readonly git: RemoteSource<GitOp>;
  readonly digests: ContentDigests;
  readonly secrets: SecretSource;
  readonly ssh: SshSource;
  readonly clock: Clock;
  readonly progress: ProgressSink;
  /** Results of other machines, for steps without a record in the store. */
  readonly remote?: RemoteResults;
  /** Other machines that run steps. */
  readonly remoteSteps?: RemoteSteps | undefined;
}

/** Settings of one build that must not be part of any key. */
export interface SolveOptions {
  /** Limit of concurrent steps; the number of processors is a good value. */
  readonly jobs: number;
  readonly exec: ExecSettings;
  /** Present when other solves of this process are parts of the same work; its limit of steps counts, not `jobs`. */
  readonly schedule?: SharedSchedule | undefined;
  /**
   * Steps that must not run: `all`, or those of the named stages. The first one that would run is an error with the
   * reason.
   */
  readonly expectCached?: "all" | ReadonlySet<string>;
  /**
   * Names of the project: its context and Dockerfile, its tags. A miss is explained with builds that share a name;
   * without any, with all.
   */
  readonly lineage?: readonly string[];
  /** True when the results are needed as files at once, not as layers: for an export into a directory. */
  readonly resultIsRead?: boolean;
  /**
   * Names of contexts that docker's engine would receive whole: an archive, a checkout. Of others it receives only used
   * files.
   */
  readonly wholeContexts?: ReadonlySet<string>;
  /**
   * Called and awaited once the plan is known, before any step runs, with the key of every vertex. It may throw to cancel
   * the build.
   */
  readonly onPlanned?: (keys: ReadonlyMap<Digest, { readonly definitionKey: Digest }>) => Promise<void>;
  /** Receives the tree that a failed command left, lowest layer first; the last one is its own. Must not throw. */
  readonly onFailed?: (vertex: Digest, layers: readonly SnapshotId[]) => void;
  /** Receives the name of a command's log when the command has ended in any way, and printed something. Must not throw. */
  readonly onLog?: (vertex: Digest, name: string) => void;
  /** Receives the reason for each miss, before the step runs. Must not throw. */
  readonly onMiss?: (vertex: Digest, miss: MissReason) => void;
  /**
   * Receives every layer that a step has just made, so that packing starts beside the next steps. Must not throw; it
   * waits for its own work.
   */
  readonly onCommitted?: (snapshot: SnapshotId, vertex: Digest) => void;
  /**
   * Receives the layers of each vertex, lowest first, as soon as they are known: from the cache before any step runs, else
   * when its step has ended. Must not throw.
   */
  readonly onLayers?: (vertex: Digest, layers: readonly SnapshotId[]) => void;
}

/** One layer of a result and the vertex that made it; `undefined` where that is unknown. */
export interface MadeLayer {
  readonly vertex: Digest | undefined;
  readonly snapshot: SnapshotId;
}

/** The outcome of a vertex. Vertices below a hit are `cached` without a look-up. */
export interface VertexOutcome {
  /** `cutoff`: the key was new, but the inputs' contents equal those of an earlier run, so its result was taken. */
  readonly how: "cached" | "ran" | "cutoff";
  readonly definitionKey: Digest;
  /** Present for `ran` and `cutoff`. */
  readonly miss: MissReason | undefined;
  /** Present for commands that `ran`. */
  readonly usage?: StepUsage | undefined;
}

export interface SolveResult {
  /** One per target, in the order of `graph.targets`, lowest layer first. */
  readonly targets: readonly { readonly layers: readonly MadeLayer[] }[];
  /** Outcomes by vertex digest. */
  readonly outcomes: ReadonlyMap<Digest, VertexOutcome>;
}
