import { BuildError } from "../../lib/core/errors.ts";
import { runExec } from "../../solver/ops/exec/exec.ts";
import { type FailedStep, failedSteps, leaseOf } from "../../solver/ops/exec/failed-step.ts";
import type { RunResult } from "../../solver/ports.ts";
import { FileWork } from "../../solver/ops/file/file-work.ts";
import { LocalSource } from "../../solver/sources/local/local-source.ts";
import type { Engine } from "./engine.ts";
import type { SecretSpec, SshSpec } from "./options.ts";
import { Scratch } from "./scratch.ts";
import { secretSource, sshSource } from "./secrets.ts";

/**
 * Finds a failed step by (the beginning of) its id, or the last one.
 * @throws {BuildError} `solver/not-found` when none is kept or none has this id
 */
export function findFailedStep({ store }: Pick<Engine, "store">, id: string | undefined): FailedStep {
  const steps = failedSteps(store);
  const found = id === undefined ? steps[0] : steps.find((step) => step.id.startsWith(id));
  if (found !== undefined) return found;
  const kept = steps.map((step) => `${step.id} (${step.name})`).join(", ");
  throw new BuildError(
    "solver/not-found",
    id === undefined
      ? "Cannot open a shell: no step has failed here"
      : `Cannot open a shell: no failed step is "${id}"`,
    { hint: steps.length === 0 ? '"kiln run IMAGE sh" opens one in an image' : `kept are ${kept}` },
  );
}

type ShellParts = Pick<Engine, "environment" | "native" | "store" | "snapshotter" | "runtime" | "scratchPath">;

export interface ShellOptions {
  readonly step: FailedStep;
  readonly command: readonly string[];
  readonly secrets: readonly SecretSpec[];
  readonly ssh: readonly SshSpec[];
  /** `NAME=value`, beside the step's own: TERM. */
  readonly env: readonly string[];
}

/**
 * Runs a command in the place of a failed step: the same tree with the step's changes, mounts, user, environment,
 * network and limits. Its own changes are discarded. The terminal is the caller's.
 */
export async function runShell(engine: ShellParts, options: ShellOptions, signal: AbortSignal): Promise<RunResult> {
  const { native, store, snapshotter, runtime, environment } = engine;
  const { step } = options;
  using _lease = store.leases.tryAcquire(leaseOf(step.id));
  await using scratch = new Scratch(engine.scratchPath());
  await using files = new AsyncDisposableStack();
  const locals = new Map(
    Object.entries(step.directories).map(([name, directory]) => [
      name,
      files.use(
        new LocalSource({
          native,
          directory,
          index: { load: () => store.facts.loadStatIndex(directory), save: () => {} },
          nowNs: () => BigInt(environment.nowMs()) * 1_000_000n,
        }),
      ),
    ]),
  );
  const work = files.use(new FileWork({ native, snapshotter, snapshots: store.snapshots, locals }));
  await using active = await snapshotter.prepare([...step.parent, step.id], signal);
  return await runExec(
    { ...step.op, argv: options.command, mounts: step.op.mounts.map(optional) },
    {
      active,
      inputs: step.inputs.map((input) => input ?? undefined),
      settings: {
        proxyEnv: options.env,
        hostAddresses: step.addresses ?? [],
        limits: step.limits,
        network: step.network,
      },
      stdio: { kind: "inherit" },
    },
    {
      runtime,
      native,
      files: work,
      selected: new Map(),
      snapshotter,
      cacheMounts: store.cacheMounts,
      secrets: secretSource(options.secrets, environment),
      socketDirectory: scratch.root,
      ssh: sshSource(options.ssh, environment, scratch),
    },
    signal,
  );
}

/** A shell without the step's secrets is better than none. */
function optional(mount: FailedStep["op"]["mounts"][number]): FailedStep["op"]["mounts"][number] {
  return mount.type === "secret" || mount.type === "ssh" ? { ...mount, required: false } : mount;
}
