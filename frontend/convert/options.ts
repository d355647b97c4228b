import type { Platform } from "../../lib/core/platform.ts";
import type { ContextSource } from "./resolver.ts";

/**
 * The user's options, as far as they shape the graph. They hold for one platform; for several, convert once per
 * platform.
 */
export interface ConvertOptions {
  /** Name of the target stage, in any case; `undefined` is the last one. */
  readonly target: string | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  /** Platform of this machine. */
  readonly buildPlatform: Platform;
  /** `undefined` when the user gave none: then the build platform, or a base image's own if this machine can run it. */
  readonly targetPlatform: Platform | undefined;
  /**
   * Platforms that this machine can run, emulation included; used only without a target platform. Default: the build
   * platform.
   */
  readonly runnablePlatforms?: readonly Platform[];
  /** True when several platforms are built: names of instructions then include the platform. */
  readonly multiPlatform: boolean;
  /** `--label`: set on the result after all instructions. */
  readonly labels: ReadonlyMap<string, string>;
  /** Stages with RUN, COPY and ADD that skip the cache: none, all, or the named ones (in any case). */
  readonly noCache: "none" | "all" | readonly string[];
  /** Network of RUNs without `--network`, or with `--network=default`. */
  readonly network: "default" | "none" | "host";
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly shmSizeBytes: number | undefined;
  /** Names of `--add-host` entries. */
  readonly extraHosts: readonly string[];
  /** `undefined`: the build arg BUILDKIT_SANDBOX_HOSTNAME, or else the runtime's default. */
  readonly hostname: string | undefined;
  readonly cgroupParent: string | undefined;
  /** Prefix of cache mount ids. `undefined`: the build arg BUILDKIT_CACHE_MOUNT_NS. */
  readonly cacheMountNamespace: string | undefined;
  /** The build context: the tree that COPY and ADD read without --from. */
  readonly context: ContextSource;
  /**
   * Present for a build that depends on no clock, umask or time of a file, with the date of a build that is given none.
   */
  readonly reproducible?: { readonly epoch: number } | undefined;
  /** `all` converts every stage, for checks. The default, `target`, converts those that the target needs. */
  readonly stages?: "target" | "all";
}

/** The options of a build without any flag. */
export const NO_FLAGS: Omit<ConvertOptions, "buildPlatform" | "context"> = {
  target: undefined,
  buildArgs: new Map(),
  targetPlatform: undefined,
  multiPlatform: false,
  labels: new Map(),
  noCache: "none",
  network: "default",
  ulimits: [],
  shmSizeBytes: undefined,
  extraHosts: [],
  hostname: undefined,
  cgroupParent: undefined,
  cacheMountNamespace: undefined,
};
