import type { ExecOp } from "../../graph/op.ts";
import type { ActiveSnapshot, RunRequest, RunResult, Runtime, ExecSettings } from "../../ports.ts";
import { resolveUser } from "./user.ts";
import type { FileWork } from "../file/file-work.ts";
import { execEnvironment } from "./environment.ts";
import { type MountDeps, openMounts, type MountInput } from "./mounts.ts";

export interface ExecDeps extends MountDeps {
  readonly runtime: Runtime;
  readonly files: FileWork;
}

/**
 * Runs a command on an active snapshot. The command's own failure is a result; any reason why it cannot run is an
 * error.
 * @throws {BuildError} `runtime/failed`, `secret/not-found`
 */
export async function runExec(
  op: ExecOp,
  context: {
    readonly active: ActiveSnapshot;
    readonly inputs: readonly (MountInput | undefined)[];
    readonly settings: Omit<ExecSettings, "entitlements">;
    readonly stdio: RunRequest["stdio"];
  },
  deps: ExecDeps,
  signal: AbortSignal,
): Promise<RunResult> {
  const { active, settings, stdio } = context;
  const network = op.network === "default" ? settings.network : op.network;
  const user = resolveUser(
    op.user,
    deps.files.readText(active.directories, "/etc/passwd"),
    deps.files.readText(active.directories, "/etc/group"),
  );
  await using mounts = await openMounts(op, context.inputs, deps, signal);
  return await deps.runtime.run(
    {
      root: await active.mount(signal),
      mounts: mounts.mounts,
      argv: op.argv,
      env: execEnvironment(op, settings.proxyEnv, mounts.secretEnv),
      cwd: op.cwd,
      user,
      hostname: op.hostname ?? "buildkitsandbox",
      network,
      security: op.security,
      extraHosts: settings.hostAddresses.filter(({ name }) => op.extraHosts.includes(name)),
      shmSizeBytes: op.shmSizeBytes,
      ulimits: op.ulimits,
      limits: settings.limits,
      cgroupParent: op.cgroupParent,
      stdio,
    },
    signal,
  );
}
