import { BuildError } from "../../../src/core/errors.ts";
import type { ExecSettings } from "../../deps.ts";
import type { ExecOp } from "../../graph/op.ts";
import type { ActiveSnapshot, RunRequest, RunResult, Runtime } from "../../ports.ts";
import { resolveUser } from "../../runtime/user.ts";
import type { FileWork } from "../../schedule/file-work.ts";
import { execEnvironment } from "./environment.ts";
import { type MountDeps, openMounts, type MountInput } from "./mounts.ts";

export interface ExecDeps extends MountDeps {
  readonly runtime: Runtime;
  readonly files: FileWork;
}

/**
 * Runs a command on a tree that is being made. Its own failure is a result; everything that keeps it from being run is
 * an error.
 * @throws {BuildError} `runtime/entitlement`, `runtime/failed`, `secret/not-found`
 */
export async function runExec(
  op: ExecOp,
  at: {
    readonly active: ActiveSnapshot;
    readonly inputs: readonly (MountInput | undefined)[];
    readonly settings: ExecSettings;
    readonly stdio: RunRequest["stdio"];
  },
  on: ExecDeps,
  signal: AbortSignal,
): Promise<RunResult> {
  const { active, settings, stdio } = at;
  const network = op.network === "default" ? settings.network : op.network;
  if (network === "host") requireEntitlement("network.host", settings);
  if (op.security === "insecure") requireEntitlement("security.insecure", settings);
  const user = resolveUser(
    op.user,
    on.files.readText(active.directories, "/etc/passwd"),
    on.files.readText(active.directories, "/etc/group"),
  );
  await using mounts = await openMounts(op, at.inputs, on, signal);
  return await on.runtime.run(
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
      extraHosts: op.extraHosts.flatMap((name) => {
        const address = settings.hostAddresses.get(name);
        return address === undefined ? [] : [{ name, address }];
      }),
      shmSizeBytes: op.shmSizeBytes,
      ulimits: op.ulimits,
      limits: settings.limits,
      cgroupParent: op.cgroupParent,
      stdio,
    },
    signal,
  );
}

function requireEntitlement(name: "network.host" | "security.insecure", settings: ExecSettings): void {
  if (settings.entitlements.has(name)) return;
  throw new BuildError("runtime/entitlement", `Cannot run this step: ${name} is not allowed`, {
    hint: `allow it with --allow ${name}`,
  });
}
