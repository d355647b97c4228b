import type { Digest } from "../lib/core/digest.ts";
import type { ImageConfig } from "../lib/core/oci.ts";
import type { Platform } from "../lib/core/platform.ts";
import type { KeyPart, LayerBlob, SnapshotId } from "../lib/store/model.ts";
import type { NewSnapshot } from "../lib/store/store.ts";
import type { ExecOp } from "./graph/op.ts";

/** A line of /etc/hosts. */
export interface HostAddress {
  readonly name: string;
  readonly address: string;
}

/** Settings of RUN that travel beside the graph. */
export interface ExecSettings {
  /** `NAME=value`, added to every command's environment and to no key: the proxy settings. */
  readonly proxyEnv: readonly string[];
  /** Addresses of the `extraHosts` names, in the order given; a name may have several. */
  readonly hostAddresses: readonly HostAddress[];
  readonly limits: ResourceLimits;
  /** Entitlements that the user has granted with `--allow`. */
  readonly entitlements: ReadonlySet<"network.host" | "security.insecure">;
  /** Meaning of `network: "default"`. */
  readonly network: "default" | "none" | "host" | "sandbox";
}

/*
 * The solver's interfaces to the outside world. Implementations are in solver/snapshot, solver/runtime and
 * solver/sources; tests put fakes here and nowhere else.
 */

/** A file tree as a stack of snapshots, lowest first. An empty list is the empty tree. Plain data. */
export type Stack = readonly SnapshotId[];

/** A tree in the form that the runtime mounts. Host paths; `lowers` are topmost first, as overlayfs takes them. */
export type TreeMount =
  | { readonly kind: "overlay"; readonly upper: string; readonly work: string; readonly lowers: readonly string[] }
  /** Read-only: nothing can be written, not even to a scratch layer. */
  | { readonly kind: "overlay-ro"; readonly lowers: readonly string[] }
  | { readonly kind: "directory"; readonly path: string; readonly mode: "ro" | "rw" };

/** A layer being written on top of a stack. Disposing it before `commit` deletes it; afterwards disposing does nothing. */
export interface ActiveSnapshot extends AsyncDisposable {
  /**
   * Host directories of the tree, topmost first, with whiteouts and opaque marks between them; file operations write
   * into the first one.
   */
  readonly directories: readonly string[];
  /** Directory for new files of the layer: the first directory, or the copy in which a command works. */
  readonly writable: string;
  /**
   * Makes the tree mountable for a command. Where overlayfs cannot be mounted this copies the whole tree, and `commit`
   * then takes the changes from it: write either through the mount or into `directories`, not both.
   */
  mount(signal: AbortSignal): Promise<TreeMount>;
  /**
   * Makes the files permanent under a new id and returns it. It writes no row: that happens in one transaction with the
   * record.
   */
  commit(signal: AbortSignal): Promise<SnapshotId>;
}

/** A tree like `ActiveSnapshot`, without writing. */
export interface TreeView extends AsyncDisposable {
  readonly directories: readonly string[];
  mount(signal: AbortSignal): Promise<TreeMount>;
}

/**
 * A store of snapshots' files. `prepare`, `view` and `pathOf` need present snapshots: the caller materialises the stack
 * first.
 */
export interface Snapshotter {
  readonly kind: "overlay" | "native";
  /** Namespace of overlay marks: `trusted.overlay.opaque` for root, `user.overlay.opaque` in a user namespace. */
  readonly marks: "trusted" | "user";
  prepare(stack: Stack, signal: AbortSignal): Promise<ActiveSnapshot>;
  /** Makes a read-only view of a tree. Disposing releases its resources (none, for overlay). */
  view(stack: Stack, signal: AbortSignal): Promise<TreeView>;
  /** Returns the directory with the snapshot's own difference in overlay form; layers are packed from it. */
  pathOf(id: SnapshotId): string;
  /** Makes an empty directory that becomes the snapshot `id` on `commit`: for layers that arrive as tars. */
  receive(
    id: SnapshotId,
    signal: AbortSignal,
  ): Promise<{ readonly directory: string; commit(): Promise<void> } & AsyncDisposable>;
  remove(id: SnapshotId): Promise<void>;
  /** Returns bytes on disk. */
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
      /** Mode of its root; that of the directory under it where there is none. */
      readonly permissions?: number | undefined;
      /** True when no program in it may be executed. */
      readonly noExec?: boolean | undefined;
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
  /** A Unix socket of the host, with its owner and permissions. */
  | { readonly kind: "socket"; readonly hostPath: string; readonly target: string };

/** Numeric identity of the process, resolved by the caller from the tree's own passwd and group files. */
export interface RunUser {
  readonly uid: number;
  readonly gid: number;
  readonly supplementary: readonly number[];
  /** HOME for an environment without one. */
  readonly home: string;
}

/** A range of ports of this machine, and the one of the same length inside. */
export interface PublishedPort {
  readonly protocol: "tcp" | "udp";
  /** An address of this machine; `undefined` for all. */
  readonly address: string | undefined;
  readonly hostPort: number;
  readonly port: number;
  readonly count: number;
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
  /** `sandbox`: a network of the step's own that reaches the outside, but not this machine's own ports. */
  readonly network: "default" | "none" | "host" | "sandbox";
  readonly security: "sandbox" | "insecure";
  /** Capabilities beside the usual ones of a sandbox, and usual ones that are left out, as the kernel names them without CAP_. */
  readonly capabilities?: { readonly add: readonly string[]; readonly drop: readonly string[] } | undefined;
  /** True when set-uid bits and file capabilities are to have no effect. */
  readonly noNewPrivileges?: boolean | undefined;
  /** True when all system calls are allowed that its capabilities allow. */
  readonly unfiltered?: boolean | undefined;
  /** Ports of this machine that lead to ports of the command; only with a network of its own, `sandbox`. */
  readonly ports?: readonly PublishedPort[] | undefined;
  readonly extraHosts: readonly HostAddress[];
  readonly shmSizeBytes: number | undefined;
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly limits: ResourceLimits;
  readonly cgroupParent: string | undefined;
  /** `pipes`: output goes to `onOutput`, input is empty. `inherit`: the caller's own streams, for `kiln run`. */
  readonly stdio:
    | { readonly kind: "pipes"; onOutput(stream: "stdout" | "stderr", chunk: Uint8Array): void }
    | { readonly kind: "inherit" };
}

export interface RunResult {
  /** Status as a shell reports it: 128 + signal when killed by one. */
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly wallMs: number;
  readonly cpuMs: number;
  /**
   * Bytes from and to disks, by all processes inside. Reads from the page cache do not count; writes count when they
   * are handed to the kernel, not when they reach the disk. `undefined` where the kernel does not count.
   */
  readonly readBytes: number | undefined;
  readonly writtenBytes: number | undefined;
  /** Peak of the whole container with a memory controller, otherwise of its largest process. */
  readonly peakMemoryBytes: number | undefined;
  /** A refusal that the command met, and the way to allow it. */
  readonly hint?: string;
}

/**
 * Runs one process in a sandbox and waits for it. Files that mount points left behind are removed and their parents'
 * times restored before it returns. Aborting the signal kills every process inside before the promise rejects; an
 * interactive command (`inherit`) gets SIGTERM instead, and its result is awaited.
 * @throws {BuildError} `runtime/failed` when the sandbox cannot be made; this is never the command's own status
 */
export interface Runtime {
  run(request: RunRequest, signal: AbortSignal): Promise<RunResult>;
}

/** The source of images. */
export interface ImageSource {
  /**
   * Resolves a name to the platform's own manifest and config. The store is asked first; the registry only for a
   * missing image (`default`), always (`pull`), or never (`local`). A pulled name is only recorded as such, unless it
   * is to be one of this store's.
   */
  resolve(
    ref: string,
    lookup: {
      readonly platform: Platform;
      readonly mode: "default" | "pull" | "local";
      readonly name?: "of the registry" | "of the store";
    },
    signal: AbortSignal,
  ): Promise<ResolvedImage>;
  /**
   * Asks the registry again about the meaning of a pulled name, and records the answer.
   * @param lookup `answerMs`: time limit of the answer; the downloads after it may take longer
   * @returns the image it means now, `undefined` when it is still the same
   * @throws {BuildError} without an answer, which is recorded too
   */
  ask(
    ref: string,
    lookup: { readonly platform: Platform; readonly answerMs: number },
    signal: AbortSignal,
  ): Promise<ResolvedImage | undefined>;
  /** Returns the image's stack; layers may still be absent. */
  stack(image: { readonly ref: string; readonly manifest: Digest }, signal: AbortSignal): Promise<Stack>;
  /**
   * Downloads, verifies and unpacks absent layers, all at once; concurrent calls share the work.
   * @param step the line of the display that shows transfers; without one they are not shown
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

/** The present state of a remote source. */
export interface FoundSource {
  /** Everything that decides which files `writeTo` writes: a commit and a folder, a digest and a file name. */
  readonly parts: readonly KeyPart[];
  /** Writes those files into an empty host directory. */
  writeTo(directory: string, signal: AbortSignal): Promise<void>;
  /** Returns the time of the last change, in seconds since 1970, if the server or repository tells it. */
  date(signal: AbortSignal): Promise<number | undefined>;
}

/**
 * Files from the network: a repository or a URL. `find` asks for the present state and fetches no more than that needs.
 * @throws {BuildError} `source/http` or `source/git`
 */
export interface RemoteSource<Op> {
  find(op: Op & Asking, signal: AbortSignal): Promise<FoundSource>;
}

export interface Asking {
  /** True to fetch the bytes themselves, whatever is remembered. */
  readonly again?: boolean;
}

/**
 * Digests of snapshots' own differences, computed once and kept in the store. The packer provides them, because it
 * reads the files anyway.
 */
export interface ContentDigests {
  contentDigest(id: SnapshotId, signal: AbortSignal): Promise<Digest>;
}

/** Size limit of a secret, as in BuildKit. */
export const MAX_SECRET_BYTES = 500 * 1024;

/** Secrets by id; `undefined` when the user gave none. A secret is read when a step needs it, and never kept. */
export interface SecretSource {
  get(id: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
}

/** Agent sockets by id; `undefined` when the user forwarded none. */
export interface SshSource {
  socket(id: string, signal: AbortSignal): Promise<string | undefined>;
}

/** The solver's only clock. */
export interface Clock {
  nowMs(): number;
}

/** A command that is to run on another machine. */
export interface RemoteStep {
  readonly vertex: Digest;
  /** Display name, `[build 2/5] RUN make`. */
  readonly name: string;
  readonly op: ExecOp;
  /** Inputs by index in the vertex; `undefined` for one that nothing of the step uses. */
  readonly inputs: readonly (RemoteInput | undefined)[];
  /** Index of the input that the command changes. */
  readonly parent: number | undefined;
  readonly settings: Omit<ExecSettings, "entitlements">;
  readonly isolation: "full" | "single id" | "chroot";
}

/** The part of an input that a step takes: layers, or some files of the client as a layer of their own. */
export interface RemoteInput {
  readonly layers: Stack;
  /** The key of the input's files, for names of seeded caches. */
  readonly key: string;
}

/** A step in the form in which a cluster knows it. */
export interface PreparedStep {
  /** Finds the result of an equal step, of this build or another. */
  cached(signal: AbortSignal): Promise<RemoteResult | undefined>;
  /**
   * Sends what is missing, and runs the step.
   * @param onOutput receives what the command prints, at the latest at its end
   */
  run(
    run: { readonly priority: number; onOutput(stream: "stdout" | "stderr", chunk: Uint8Array): void },
    signal: AbortSignal,
  ): Promise<RemoteResult>;
}

/** A command's end on another machine. */
export interface RemoteResult extends RunResult {
  /** The layer that it made, whose bytes are still there; `undefined` for a command that failed. */
  readonly made: { readonly snapshot: NewSnapshot; readonly blob: LayerBlob } | undefined;
}

/** Other machines that run steps. */
export interface RemoteSteps {
  /** Name for people. */
  readonly location: string;
  /** Speed of transfers as seen of late. */
  readonly bytesPerMs: number;
  /** Tells whether a layer is there, as far as this process knows. */
  has(layer: SnapshotId): boolean;
  /**
   * Asks whether steps can run there, and how many at one time; `undefined` when they are to run here after all.
   * @throws {BuildError} `remote/unreachable`, `remote/denied`, `remote/unsupported`
   */
  slots(signal: AbortSignal): Promise<number | undefined>;
  /**
   * Tells why a step runs here all the same; `undefined` for one that may travel.
   * @throws {BuildError} `remote/unsupported` for what runs on no other machine and is not to run here instead
   */
  staysFor(op: ExecOp, settings: Omit<ExecSettings, "entitlements">): string | undefined;
  prepare(step: RemoteStep, signal: AbortSignal): Promise<PreparedStep>;
}
