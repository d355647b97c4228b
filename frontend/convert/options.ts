import type { Platform } from "../../lib/core/platform.ts";
import type { ContextSource } from "./resolver.ts";

/** What the user asked for, as far as it shapes the graph. One platform; for several, convert once per platform. */
export interface ConvertOptions {
  /** Name of the stage wanted, in any case; `undefined` is the last one. */
  readonly target: string | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  /** What this machine runs. */
  readonly buildPlatform: Platform;
  /** `undefined` when the user gave none: the build platform then, or a base image's own if this machine can run it. */
  readonly targetPlatform: Platform | undefined;
  /** What this machine can run, emulation included; used only without a target platform. Default: the build platform. */
  readonly runnablePlatforms?: readonly Platform[];
  /** Whether several platforms are built: step names then say which. */
  readonly multiPlatform: boolean;
  /** `--label`: set on the result last of all. */
  readonly labels: ReadonlyMap<string, string>;
  /** Whose RUN, COPY and ADD are not looked up: nobody's, everybody's, or these stages' (names in any case). */
  readonly noCache: "none" | "all" | readonly string[];
  /** For RUNs that say nothing or `--network=default`. */
  readonly network: "default" | "none" | "host";
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly shmSizeBytes: number | undefined;
  /** Names of `--add-host` entries. */
  readonly extraHosts: readonly string[];
  /** `undefined`: what the build arg BUILDKIT_SANDBOX_HOSTNAME says, else the runtime's default. */
  readonly hostname: string | undefined;
  readonly cgroupParent: string | undefined;
  /** Put before cache mount ids. `undefined`: what the build arg BUILDKIT_CACHE_MOUNT_NS says. */
  readonly cacheMountNamespace: string | undefined;
  /** The build context: what COPY and ADD read without --from. */
  readonly context: ContextSource;
  /** `all`: convert every stage, for checks. Default `target`: only what the target needs. */
  readonly stages?: "target" | "all";
}

/** What a build is asked for without any flag. */
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
