import type { Digest } from "../lib/core/digest.ts";
import type { ImageConfig } from "../lib/core/oci.ts";
import type { Platform } from "../lib/core/platform.ts";
import type { KeyPart, SnapshotId } from "../lib/store/model.ts";

/** A line of /etc/hosts. */
export interface HostAddress {
  readonly name: string;
  readonly address: string;
}

/** Settings of RUN beside the graph. */
export interface ExecSettings {
  /** `NAME=value`, added to every command's environment and in no key: the proxy settings. */
  readonly proxyEnv: readonly string[];
  /** Addresses of the `extraHosts` names, in the order given; a name may have several. */
  readonly hostAddresses: readonly HostAddress[];
  readonly limits: ResourceLimits;
  /** Extras that the user has allowed by `--allow`. */
  readonly entitlements: ReadonlySet<"network.host" | "security.insecure">;
  /** What `network: "default"` means. */
  readonly network: "default" | "none" | "host" | "sandbox";
}

/*
 * What the solver asks of the world. Implementations live in solver/snapshot, solver/runtime and solver/sources;
 * tests put fakes here and nowhere else.
 */

/** A file tree as a stack of snapshots, lowest first. An empty list is the empty tree. Plain data. */
export type Stack = readonly SnapshotId[];

/** How the runtime makes a tree visible. Host paths; `lowers` are topmost first, as overlayfs takes them. */
export type TreeMount =
  | { readonly kind: "overlay"; readonly upper: string; readonly work: string; readonly lowers: readonly string[] }
  /** Read-only: nothing can be written, not even to a scratch layer. */
  | { readonly kind: "overlay-ro"; readonly lowers: readonly string[] }
  | { readonly kind: "directory"; readonly path: string; readonly mode: "ro" | "rw" };

/** A layer being written on top of a stack. Disposing it before `commit` deletes it; afterwards disposing does nothing. */
export interface ActiveSnapshot extends AsyncDisposable {
  /**
   * Host directories that make up the tree, topmost first, with whiteouts and opaque marks between them; file operations
   * write into the first one.
   */
  readonly directories: readonly string[];
  /** Where files must be put to be in the layer: the first directory, or the copy that a command has worked in. */
  readonly writable: string;
  /**
   * How a command sees the tree and writes to it. Where overlayfs cannot be mounted this copies the whole tree, from which
   * `commit` then takes what changed: write either through the mount or into `directories`, not both.
   */
  mount(signal: AbortSignal): Promise<TreeMount>;
  /** Makes the files permanent under a new id and returns it. Writes no row: that is one transaction with the record. */
  commit(signal: AbortSignal): Promise<SnapshotId>;
}

/** As `ActiveSnapshot`, without writing. */
export interface TreeView extends AsyncDisposable {
  readonly directories: readonly string[];
  mount(signal: AbortSignal): Promise<TreeMount>;
}

/**
 * Keeps snapshots. `prepare`, `view` and `pathOf` need present snapshots: whoever calls has materialised the stack.
 */
export interface Snapshotter {
  readonly kind: "overlay" | "native";
  /** Where an overlay mark lives: `trusted.overlay.opaque` for root, `user.overlay.opaque` in a user namespace. */
  readonly marks: "trusted" | "user";
  prepare(stack: Stack, signal: AbortSignal): Promise<ActiveSnapshot>;
  /** A read-only look at a tree. Disposing releases whatever it took to make it (nothing, for overlay). */
  view(stack: Stack, signal: AbortSignal): Promise<TreeView>;
  /** Directory that holds the snapshot's own difference in overlay form; what layers are packed from. */
  pathOf(id: SnapshotId): string;
  /** An empty directory that becomes the snapshot `id` on `commit`: for layers that arrive as tars. */
  receive(
    id: SnapshotId,
    signal: AbortSignal,
  ): Promise<{ readonly directory: string; commit(): Promise<void> } & AsyncDisposable>;
  remove(id: SnapshotId): Promise<void>;
  /** Bytes on disk. */
  usage(id: SnapshotId, signal: AbortSignal): Promise<number>;
}

/** A mount of a running step besides its root. `target` is absolute inside the container and resolved there. */
export type RunMount =
  | { readonly kind: "bind"; readonly hostPath: string; readonly target: string; readonly mode: "ro" | "rw" }
  /** Part of a tree: `source` is resolved inside it, symlinks included, never outside. */
  | {
      readonly kind: "tree";
      readonly tree: TreeMount;
      readonly source: string;
      readonly target: string;
      readonly mode: "ro" | "rw";
    }
  | {
      readonly kind: "tmpfs";
      readonly target: string;
      readonly sizeBytes: number | undefined;
      readonly mode?: "ro" | undefined;
    }
  /** A small file on a tmpfs of its own; the bytes reach the runtime by descriptor, never by disk or argument. */
  | {
      readonly kind: "secret";
      readonly target: string;
      readonly data: Uint8Array;
      readonly permissions: number;
      readonly uid: number;
      readonly gid: number;
    }
  /** A Unix socket of the host's, with the owner and permissions it has there. */
  | { readonly kind: "socket"; readonly hostPath: string; readonly target: string };

/** Numeric identity of the process, resolved by the caller from the tree's own passwd and group files. */
export interface RunUser {
  readonly uid: number;
  readonly gid: number;
  readonly supplementary: readonly number[];
  /** Set as HOME when the environment has none. */
  readonly home: string;
}

export interface ResourceLimits {
  readonly memoryBytes?: number;
  /** Memory plus swap; -1 is unlimited swap. */
  readonly memorySwapBytes?: number;
  readonly cpuShares?: number;
  readonly cpuPeriodUs?: number;
  readonly cpuQuotaUs?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
}

export interface RunRequest {
  readonly root: TreeMount;
  readonly mounts: readonly RunMount[];
  readonly argv: readonly string[];
  /** `NAME=value`. HOME is added when missing; nothing else is. */
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: RunUser;
  readonly hostname: string;
  /** `sandbox`: a network of the step's own, from which the outside can be reached, but not this machine's own ports. */
  readonly network: "default" | "none" | "host" | "sandbox";
  readonly security: "sandbox" | "insecure";
  readonly extraHosts: readonly HostAddress[];
  readonly shmSizeBytes: number | undefined;
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly limits: ResourceLimits;
  readonly cgroupParent: string | undefined;
  /** `pipes`: output goes to `onOutput`, input is empty. `inherit`: bytes are passed from and to the caller's own, for `kiln run`. */
  readonly stdio:
    | { readonly kind: "pipes"; onOutput(stream: "stdout" | "stderr", chunk: Uint8Array): void }
    | { readonly kind: "inherit" };
}

export interface RunResult {
  /** As a shell reports it: 128 + signal when killed by one. */
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly wallMs: number;
  readonly cpuMs: number;
  /**
   * From and to disks, by all processes inside; what the page cache had is not read, and what was written counts when it is
   * handed to the kernel, not when it reaches the disk. `undefined` where the kernel does not count.
   */
  readonly readBytes: number | undefined;
  readonly writtenBytes: number | undefined;
  /** Of the whole container where a memory controller is there, else of its largest process. */
  readonly peakMemoryBytes: number | undefined;
}

/**
 * Runs one process in a sandbox and waits for it. Files left behind by mount points are removed and their parents'
 * times restored before it returns. Aborting the signal kills every process inside before the promise rejects;
 * a command before which a person sits (`inherit`) is asked to end instead (SIGTERM), and its result is awaited.
 * @throws {BuildError} `runtime/failed` when the sandbox cannot be made, which is never the command's own status.
 */
export interface Runtime {
  run(request: RunRequest, signal: AbortSignal): Promise<RunResult>;
}

/** Where images come from. */
export interface ImageSource {
  /**
   * The platform's own manifest and config of a name. The store is asked first, the registry only for what it lacks
   * (`default`), always (`pull`), or never (`local`). A name that is pulled is only noted, unless it is to be one of this store's.
   */
  resolve(
    ref: string,
    at: {
      readonly platform: Platform;
      readonly mode: "default" | "pull" | "local";
      readonly name?: "of the registry" | "of the store";
    },
    signal: AbortSignal,
  ): Promise<ResolvedImage>;
  /**
   * Asks the registry once more what a name means that was pulled before, and takes note of the answer.
   * @param at `answerMs`: how long the answer may take; what there is to fetch after it may take longer.
   * @returns the image it means now, `undefined` when it is still the same.
   * @throws {BuildError} when there is no answer, which is noted too
   */
  ask(
    ref: string,
    at: { readonly platform: Platform; readonly answerMs: number },
    signal: AbortSignal,
  ): Promise<ResolvedImage | undefined>;
  /** The image's stack; layers may still be absent. */
  stack(image: { readonly ref: string; readonly manifest: Digest }, signal: AbortSignal): Promise<Stack>;
  /**
   * Downloads, verifies and unpacks what is absent, all layers at once; concurrent calls share the work.
   * @param step under which line of the display transfers are shown; without one they are not.
   */
  materialize(stack: Stack, step: string | undefined, signal: AbortSignal): Promise<void>;
}

export interface ResolvedImage {
  /** Full reference, `docker.io/library/alpine:latest`. */
  readonly ref: string;
  readonly manifest: Digest;
  readonly config: ImageConfig;
  /** The registry's answer for a name that the store only knows because a build needed it. */
  readonly pulled?: { readonly answeredAtMs: number; readonly triedAtMs: number } | undefined;
}

/** What a remote source holds at this moment. */
export interface FoundSource {
  /** Everything that decides which files `writeTo` writes: a commit and a folder, a digest and a file name. */
  readonly parts: readonly KeyPart[];
  /** Writes those files into an empty directory of the host's. */
  writeTo(directory: string, signal: AbortSignal): Promise<void>;
  /** When it was last changed, in seconds since 1970, as far as its server or its repository says so. */
  date(signal: AbortSignal): Promise<number | undefined>;
}

/**
 * Files from the network: a repository or a URL. `find` asks what is there now and fetches no more than it must to know.
 * @throws {BuildError} `source/http` or `source/git`
 */
export interface RemoteSource<Op> {
  find(op: Op & Asking, signal: AbortSignal): Promise<FoundSource>;
}

export interface Asking {
  /** Whatever is remembered, the bytes themselves are wanted. */
  readonly again?: boolean;
}

/** Digests of snapshots' own differences, computed once and kept in the store. The packer, which reads them anyway. */
export interface ContentDigests {
  contentDigest(id: SnapshotId, signal: AbortSignal): Promise<Digest>;
}

/** Largest secret, as in BuildKit. */
export const MAX_SECRET_BYTES = 500 * 1024;

/** Bytes of a secret by id; `undefined` when the user gave none. Read when a step needs it, never kept. */
export interface SecretSource {
  get(id: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
}

/** Agent sockets by id; `undefined` when the user forwarded none. */
export interface SshSource {
  socket(id: string, signal: AbortSignal): Promise<string | undefined>;
}

/** The only clock the solver has. */
export interface Clock {
  nowMs(): number;
}
