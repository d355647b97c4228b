import { BuildError } from "../../lib/core/errors.ts";
import type { StoredImage } from "../../lib/store/model.ts";
import { DEFAULT_PATH } from "../../solver/ops/exec/environment.ts";
import { stackView } from "../../solver/ops/file/stack-view.ts";
import { MAX_ACCOUNTS_BYTES } from "../../solver/ops/file/owner.ts";
import type { PublishedPort, ResourceLimits, RunMount, RunRequest, RunResult } from "../../solver/ports.ts";
import { resolveUser } from "../../solver/ops/exec/user.ts";
import type { Engine } from "./engine.ts";

export interface RunImageOptions {
  readonly image: StoredImage;
  /** Replaces CMD; empty keeps it. */
  readonly command: readonly string[];
  /** Replaces ENTRYPOINT; an empty list removes it. */
  readonly entrypoint: readonly string[] | undefined;
  /** `NAME=value`. */
  readonly env: readonly string[];
  readonly workingDirectory: string | undefined;
  readonly user: string | undefined;
  readonly network: "default" | "none" | "host" | "sandbox";
  readonly hostname: string | undefined;
  /** True when the command gets a terminal and its type. */
  readonly terminal: boolean;
  readonly mounts: readonly RunMount[];
  /** Ids of groups beside the user's own. */
  readonly groups: readonly number[];
  /** True when the image's own files cannot be changed, not even on a layer that is thrown away. */
  readonly isReadOnly: boolean;
  readonly ports: readonly PublishedPort[];
  readonly extraHosts: RunRequest["extraHosts"];
  readonly shmSizeBytes: number | undefined;
  readonly ulimits: RunRequest["ulimits"];
  readonly limits: ResourceLimits;
  readonly security: RunRequest["security"];
  readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
  readonly noNewPrivileges: boolean;
  /** True when system calls are not filtered. */
  readonly isUnfiltered: boolean;
}

type RunParts = Pick<Engine, "images" | "native" | "runtime" | "snapshotter">;

/** Starts an image's process on a layer of its own that is discarded at the end. The terminal is the caller's. */
export async function runImage(engine: RunParts, options: RunImageOptions, signal: AbortSignal): Promise<RunResult> {
  const { images, native, runtime, snapshotter } = engine;
  const { config } = options.image.config;
  const entrypoint = options.entrypoint ?? config.Entrypoint ?? [];
  const cmd = options.command.length > 0 ? options.command : options.entrypoint === undefined ? (config.Cmd ?? []) : [];
  const argv = [...entrypoint, ...cmd];
  if (argv.length === 0) {
    throw new BuildError("runtime/failed", "Cannot run the image: it has no command", {
      hint: "give one: kiln run IMAGE COMMAND",
    });
  }
  await images.materialize(options.image.layers, undefined, signal);
  await using active = options.isReadOnly
    ? await snapshotter.view(options.image.layers, signal)
    : await snapshotter.prepare(options.image.layers, signal);
  const accounts = (path: string): string | undefined => {
    using view = stackView({ native, directories: active.directories, marks: snapshotter.marks, name: "the image" });
    return view.tree.readFile(path, MAX_ACCOUNTS_BYTES)?.toString("utf8");
  };
  const user = resolveUser(options.user ?? config.User ?? "", accounts("/etc/passwd"), accounts("/etc/group"));
  const hostname = options.hostname ?? "kiln";
  // As with `docker run`: commands are found by PATH, also in an image without one, programs draw by TERM, and scripts
  // name things by HOSTNAME.
  const told = [`PATH=${DEFAULT_PATH}`, `HOSTNAME=${hostname}`, ...(options.terminal ? ["TERM=xterm"] : [])];
  const env = [...told, ...(config.Env ?? []), ...options.env];
  return await runtime.run(
    {
      root: await active.mount(signal),
      mounts: options.mounts,
      argv,
      env: lastWins(env),
      // An empty text counts as unset.
      cwd: options.workingDirectory ?? (config.WorkingDir || "/"),
      user: { ...user, supplementary: [...user.supplementary, ...options.groups] },
      hostname,
      network: options.network,
      security: options.security,
      capabilities: options.capabilities,
      noNewPrivileges: options.noNewPrivileges,
      unfiltered: options.isUnfiltered,
      ports: options.ports,
      extraHosts: options.extraHosts,
      shmSizeBytes: options.shmSizeBytes,
      ulimits: options.ulimits,
      limits: options.limits,
      cgroupParent: undefined,
      stdio: { kind: "inherit" },
    },
    signal,
  );
}

/** Removes duplicates: a repeated name has its last value, at its first place. */
function lastWins(env: readonly string[]): string[] {
  const values = new Map<string, string>();
  for (const entry of env) {
    const equals = entry.indexOf("=");
    values.set(equals === -1 ? entry : entry.slice(0, equals), entry);
  }
  return [...values.values()];
}
