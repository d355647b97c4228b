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
  Runtime,
  SecretSource,
  Snapshotter,
  SshSource,
  ExecSettings,
} from "./ports.ts";
import type { LocalSource } from "./sources/local/local-source.ts";

/** What solving needs of the world. Created by the caller, who also closes what has to be closed. */
export interface SolverDeps {
  readonly store: Store;
  readonly native: Native;
  readonly snapshotter: Snapshotter;
  readonly runtime: Runtime;
  /** Why the runtime's commands are not held to the rights of files; absent where they are. A part of their keys. */
  readonly isolation?: WeakIsolation | undefined;
  readonly images: ImageSource;
  /** By `LocalOp.name`. */
  readonly locals: ReadonlyMap<string, LocalSource>;
  readonly http: RemoteSource<HttpOp>;
  readonly git: RemoteSource<GitOp>;
  readonly digests: ContentDigests;
  readonly secrets: SecretSource;
  readonly ssh: SshSource;
  readonly clock: Clock;
  readonly progress: ProgressSink;
  /** Results of other machines, for steps that the store does not know. */
  readonly remote?: RemoteResults;
}

/** How this build wants its graph solved: what must not be part of any key. */
export interface SolveOptions {
  /** Steps that run at one time; the number of processors is a good one. */
  readonly jobs: number;
  readonly exec: ExecSettings;
  /**
   * Steps that must not run: `all`, or those of the named stages. The first one that would is an error with the reason.
   */
  readonly expectCached?: "all" | ReadonlySet<string>;
  /**
   * Names of what is built: its context and Dockerfile, its tags. A miss is explained by builds that have a name in common;
   * without any, by all.
   */
  readonly lineage?: readonly string[];
  /** Whether the files of the results are wanted as files at once, and not as layers: for an export into a directory. */
  readonly resultIsRead?: boolean;
  /** Names of contexts that docker's engine would have as a whole: an archive, a checkout. Of others it has what is taken. */
  readonly wholeContexts?: ReadonlySet<string>;
  /**
   * Called when it is known what has to run, before anything does, and awaited. May throw to have all of it given up.
   */
  readonly onPlanned?: () => Promise<void>;
  /** Told why a result was not found under its key, before the step runs. Must not throw. */
  readonly onMiss?: (vertex: Digest, miss: MissReason) => void;
  /**
   * Told of every layer that a step has just made, so that packing starts beside the next steps. Must not throw; work
   * it starts is its own to wait for.
   */
  readonly onCommitted?: (snapshot: SnapshotId) => void;
}

/** One layer of a result and the vertex whose work it is; `undefined` where that cannot be told. */
export interface MadeLayer {
  readonly vertex: Digest | undefined;
  readonly snapshot: SnapshotId;
}

/** What became of a vertex. Vertices below a hit are `cached` without having been looked up. */
export interface VertexOutcome {
  /** `cutoff`: the key was new, but the inputs' contents are those of an earlier run, whose result was taken. */
  readonly how: "cached" | "ran" | "cutoff";
  readonly definitionKey: Digest;
  /** Only for `ran` and `cutoff`. */
  readonly miss: MissReason | undefined;
  /** Only for `ran`, and of commands only. */
  readonly usage?: StepUsage | undefined;
}

export interface SolveResult {
  /** One per target, in the order of `graph.targets`, lowest layer first. */
  readonly targets: readonly { readonly layers: readonly MadeLayer[] }[];
  /** By vertex digest. */
  readonly outcomes: ReadonlyMap<Digest, VertexOutcome>;
}
