import { BuildError } from "../../lib/core/errors.ts";
import { runExec } from "../../solver/ops/exec/exec.ts";
import { type FailedStep, failedSteps, leaseOf } from "../../solver/ops/exec/failed-step.ts";
import { isShortened } from "../../solver/cache/key.ts";
import type { ExecOp } from "../../solver/graph/op.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { CacheRecord, SnapshotId } from "../../lib/store/model.ts";
import type { RunResult, Stack } from "../../solver/ports.ts";
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

type ShellParts = Pick<
  Engine,
  "environment" | "native" | "store" | "snapshotter" | "runtime" | "scratchPath" | "images"
>;

/** A place for a shell: a command of a build, its mounts and settings, and the tree that it is to see. */
export interface ShellPlace extends Pick<
  FailedStep,
  "op" | "inputs" | "directories" | "network" | "limits" | "addresses"
> {
  readonly tree: Stack;
  /** The failed step whose files are in use. */
  readonly failed: SnapshotId | undefined;
}

/** Returns the place of a failed step: after its command, or before. */
export function placeOfFailed(step: FailedStep, time: "before" | "after"): ShellPlace {
  return { ...step, tree: time === "before" ? step.parent : [...step.parent, step.id], failed: step.id };
}

/**
 * Returns the place before a step that has a record, with the variables, directory and user that its key names.
 * @returns also the names of variables whose values are not kept, because they look like secrets or are long
 */
export function placeBefore(
  { parts, layers }: Pick<CacheRecord, "parts" | "layers">,
  platform: Platform,
): { readonly place: ShellPlace; readonly unknown: readonly string[] } {
  const valueOf = (name: string): string | undefined => parts.find((part) => part.name === name)?.value;
  const variables = parts.flatMap(({ name, value }) => {
    const [, variable] = /^(?:ENV|ARG) (.+)$/s.exec(name) ?? [];
    return variable === undefined ? [] : [{ variable, value }];
  });
  const isKept = ({ value }: { readonly value: string }): boolean => !isShortened(value);
  const op: ExecOp = {
    kind: "exec",
    argv: [],
    env: [variables.filter(isKept).map(({ variable, value }) => `${variable}=${value}`)],
    cwd: valueOf("WORKDIR") ?? "/",
    user: valueOf("USER") ?? "",
    hostname: undefined,
    network: valueOf("network") === "none" ? "none" : "default",
    security: "sandbox",
    scratchRoot: false,
    mounts: [],
    shmSizeBytes: undefined,
    ulimits: [],
    extraHosts: [],
    cgroupParent: undefined,
    platform,
  };
  const tree = layers.slice(0, -1);
  return {
    place: { op, inputs: [], directories: {}, network: "default", limits: {}, tree, failed: undefined },
    unknown: variables.filter((variable) => !isKept(variable)).map(({ variable }) => variable),
  };
}

export interface ShellOptions {
  readonly place: ShellPlace;
  readonly command: readonly string[];
  readonly secrets: readonly SecretSpec[];
  readonly ssh: readonly SshSpec[];
  /** `NAME=value`, beside the step's own: TERM. */
  readonly env: readonly string[];
}

/**
 * Runs a command in the place of a step: the same tree, mounts, user, environment, network and limits. Its changes are
 * discarded. The terminal is the caller's.
 */
export async function runShell(engine: ShellParts, options: ShellOptions, signal: AbortSignal): Promise<RunResult> {
  const { native, store, snapshotter, runtime, environment } = engine;
  const { place: step } = options;
  using _lease = step.failed === undefined ? undefined : store.leases.tryAcquire(leaseOf(step.failed));
  await engine.images.materialize(step.tree, undefined, signal);
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
  await using active = await snapshotter.prepare(step.tree, signal);
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
