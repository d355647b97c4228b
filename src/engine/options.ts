import type { ProgressSink } from "../../lib/core/progress.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { SharedSchedule } from "../../solver/shared-schedule.ts";
import type { CacheOptions } from "./caches/cache-options.ts";
import type { RemoteOptions } from "./cluster/remote-options.ts";
import type { AttestStyle } from "../export/exporter.ts";
import type { OutputSpec } from "../export/output-spec.ts";
import type { ProvenanceOptions } from "./attest/provenance-options.ts";
import type { BuildReport } from "./report.ts";

/** A requested build. Texts are as a user types them; `build` parses and checks them. */
export interface BuildOptions {
  /** A directory, a git or HTTP(S) URL, or `-` for a tar or Dockerfile on standard input. */
  readonly context: string;
  /** `classic`: files from elsewhere are treated as docker's classic builder does; see `classicContext`. */
  readonly contextRules?: "classic" | undefined;
  /** Path (relative to the working directory), URL or `-`; `undefined` looks for `Dockerfile` in the context. */
  readonly dockerfile?: string | undefined;
  /** Names for the result, `app:1.0`. */
  readonly tags?: readonly string[];
  readonly target?: string | undefined;
  /** `linux/amd64`, `arm64`, `local`; empty builds for this machine. */
  readonly platforms?: readonly string[];
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** `--build-context`: directory, `docker-image://`, `oci-layout://`, git or HTTP(S) URL by name. */
  readonly contexts?: Readonly<Record<string, string>>;
  /** Empty keeps the image in the local store. */
  readonly outputs?: readonly OutputSpec[];
  /** `true`: no step uses the cache; names: those of these stages do not. Results are still recorded. */
  readonly noCache?: boolean | readonly string[];
  /**
   * `true` asks registries for base images even when the store has them; `never`: not even for missing ones. `newer`:
   * asks, but does without an answer; `missing`: asks only for missing ones. Default: a name that was pulled for a
   * build is asked about when the last answer is older than `pullTtlMs`.
   */
  readonly pull?: boolean | "newer" | "missing" | "never";
  /** Lifetime of a registry's answer; ten minutes when absent. 0: every build asks. */
  readonly pullTtlMs?: number | undefined;
  /** True when no registry may be asked. */
  readonly offline?: boolean;
  /** The only file with accounts for registries. Default: docker's and podman's. */
  readonly accountFile?: string;
  /** `sandbox` gives every RUN that names no network one of its own, by pasta or slirp4netns; `host` also grants `network.host`. */
  readonly network?: "default" | "none" | "host" | "sandbox";
  readonly secrets?: readonly SecretSpec[];
  readonly ssh?: readonly SshSpec[];
  /** `buildx.local.delete`: a local output with mode=delete may remove files outside the working directory. */
  readonly allow?: readonly ("network.host" | "security.insecure" | "buildx.local.delete")[];
  readonly extraHosts?: readonly { readonly name: string; readonly address: string }[];
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly shmSizeBytes?: number | undefined;
  readonly cgroupParent?: string | undefined;
  readonly limits?: BuildLimits;
  /** `disabled`: build despite a policy file, which kiln does not evaluate. */
  readonly policy?: "disabled" | undefined;
  /** Limit of concurrent steps; default: the number of processors, at least four. */
  readonly jobs?: number | undefined;
  /** Stages with steps that must all come from the cache; `all` for every stage. */
  readonly expectCached?: "all" | readonly string[] | undefined;
  /** Other machines that run steps. */
  readonly remote?: RemoteOptions | undefined;
  /** Caches of other machines. */
  readonly cache?: CacheOptions | undefined;
  /** Attaches provenance to images that are pushed or written as an OCI layout. */
  readonly provenance?: ProvenanceOptions | undefined;
  /** Makes one layer of those that the build adds to the base image. */
  readonly squash?: boolean | undefined;
  /** Attaches a list of packages to the same images. */
  readonly sbom?: boolean | undefined;
  /** Place of these attestations; `index` unless given. */
  readonly attestStyle?: AttestStyle | undefined;
  /** Adds provenance to the result, for `--metadata-file`: `min` is without steps and times. */
  readonly recordProvenance?: "min" | "max" | undefined;
  /** Part of the build's id: two builds of one process may begin in the same millisecond. */
  readonly part?: string;
  /** Present for one of several builds that are scheduled as one; its limit of steps counts, not `jobs`. */
  readonly schedule?: SharedSchedule | undefined;
  /** Receives the keys of all steps by the ids of their events, before any step runs. Must not throw. */
  readonly onKeys?: ((keys: ReadonlyMap<string, { readonly definitionKey: Digest }>) => void) | undefined;
  readonly progress?: ProgressSink;
  /**
   * True for an image that depends on its sources and nothing else: one date for everything new in it, and no umask or
   * time of the context's files.
   */
  readonly reproducible?: boolean;
  /** The file of digests of all base images and remote sources. It is written, unless `locked`. */
  readonly lockFile?: string | undefined;
  /** True to refuse base images and remote sources that are not those of the lock file. */
  readonly locked?: boolean;
  /** True to build a second time without the cache before anything is exported, and to fail where the image differs. */
  readonly verify?: boolean;
  /** Files of stages that are written when the build has ended, also when it has failed. */
  readonly artifacts?: readonly ArtifactSpec[];
  /** Receives the outcome of every step, also when the build fails. Must not throw. */
  readonly onReport?: ((report: BuildReport) => void) | undefined;
}

/** Files of one stage, and their place on this machine. */
export interface ArtifactSpec {
  /** The stage's name or number; `failed` is the tree of the step that failed. */
  readonly stage: string;
  /** Absolute path of a file or directory there; the last name may be a pattern. */
  readonly path: string;
  /** Only what the failed step itself has made and changed. */
  readonly onlyChanges?: boolean;
  /** A directory's content goes into this directory; a file gets this name, or its own in a directory that exists. */
  readonly destination: string;
}

/** The source of a secret; read when a step needs it. */
export type SecretSpec =
  | { readonly id: string; readonly from: "file"; readonly path: string }
  | { readonly id: string; readonly from: "env"; readonly variable: string };

/** An agent's socket, or the files of private keys for an agent of ours. */
export interface SshSpec {
  readonly id: string;
  readonly paths: readonly string[];
}

/** Limits of each RUN. */
export interface BuildLimits {
  readonly memoryBytes?: number;
  readonly memorySwapBytes?: number;
  readonly cpuShares?: number;
  readonly cpuPeriodUs?: number;
  readonly cpuQuotaUs?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
}
