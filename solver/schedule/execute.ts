import { coverPasswords } from "../../lib/core/credentials.ts";
import { join } from "node:path";
import { BuildError, unreachable } from "../../lib/core/errors.ts";
import type { Digest } from "../../lib/core/digest.ts";
import { inWholeSeconds, type LayerRuns } from "../../lib/core/run-interval.ts";
import type { StepUsage } from "../../lib/core/progress.ts";
import { kernelStamp } from "../../lib/tree/kernel-clock.ts";
import type { LayerBlob, SnapshotId, SnapshotRow } from "../../lib/store/model.ts";
import type { NewSnapshot } from "../../lib/store/store.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import type { SolveOptions, SolverDeps } from "../deps.ts";
import type { ExecOp, FileOp } from "../graph/op.ts";
import { isRecorded } from "../graph/op-facts.ts";
import { diskFull, isDiskFull } from "../ops/exec/disk-full.ts";
import { runExec } from "../ops/exec/exec.ts";
import type { EarlierResult } from "../ops/file/earlier-copy.ts";
import { failureHints } from "../ops/exec/failure-hints.ts";
import { type FailedStep, keepFailedStep } from "../ops/exec/failed-step.ts";
import { leaveMountPoints, mountPointsOf } from "../ops/exec/mount-points.ts";
import type { MountInput } from "../ops/exec/mounts.ts";
import { TimedRuntime } from "../ops/exec/run-interval.ts";
import type { ActiveSnapshot, RunResult, Stack } from "../ports.ts";
import type { Selection } from "../select/select.ts";
import { warningAt } from "../warning.ts";
import { type FileWork, type InputTree, runsOf } from "../ops/file/file-work.ts";
import { blamedLine, shortCommand } from "./failed-command.ts";
import { OutputLog } from "./output-log.ts";

/** What running a step gave, none of it with a row yet: a committed snapshot or a layer's blob, and what it cost. */
export interface Executed {
  readonly snapshot: NewSnapshot;
  /** Holds the layer's tar where its files are not there. */
  readonly blob: LayerBlob | undefined;
  readonly wallMs: number;
  /** Of a command; file operations are not counted. */
  readonly usage: StepUsage | undefined;
  readonly logFile: string | undefined;
}

export interface ExecuteDeps {
  readonly on: SolverDeps;
  readonly options: SolveOptions;
  readonly keyed: ReadonlyMap<Digest, KeyedVertex>;
}

export interface ExecuteInputs {
  /** By index of the vertex's inputs; layers are present. */
  readonly inputs: readonly (InputTree | undefined)[];
  readonly parent: Stack;
  readonly files: FileWork;
  /** What has been found in the inputs, by name of the part. */
  readonly selected: ReadonlyMap<string, Selection>;
  /** Of the same copy, to share files with. */
  readonly earlier?: EarlierResult | undefined;
}

/** Runs one step on a new layer and commits it. A failed or aborted step leaves nothing but its log. */
export async function executeStep(
  keyed: KeyedVertex,
  at: ExecuteInputs,
  deps: ExecuteDeps,
  signal: AbortSignal,
): Promise<Executed> {
  const { on } = deps;
  const { op } = keyed.vertex;
  if (!isRecorded(op)) throw new Error(`A ${op.kind} vertex is not run`);
  const startedMs = on.clock.nowMs();
  await using active = await on.snapshotter.prepare(at.parent, signal);
  let ran: Ran = { usage: undefined, logFile: undefined, runs: undefined };
  switch (op.kind) {
    case "exec":
      ran = await runCommand({ ...at, op, keyed, active }, deps, signal);
      break;
    case "file": {
      const fromNs = kernelStamp(active.writable);
      await at.files.run(
        op,
        {
          directories: active.directories,
          inputs: at.inputs,
          selected: at.selected,
          earlier: at.earlier,
          warn: (message, hint) => on.progress(warningAt(keyed.meta, `${keyed.meta.instruction}: ${message}`, hint)),
        },
        signal,
      );
      const copied = copiedRuns(op, at.inputs, on);
      const made = { fromNs, untilNs: kernelStamp(active.writable) };
      ran = { ...ran, runs: copied === undefined ? undefined : inWholeSeconds([made, ...copied]) };
      break;
    }
    case "http":
    case "git":
      await keyed.found?.writeTo(active.writable, signal);
      break;
    default:
      return unreachable(op);
  }
  const { runs, usage, logFile } = ran;
  const id = await active.commit(signal);
  const snapshot: NewSnapshot = runs === undefined ? { id, state: "present" } : { id, state: "present", runs };
  return { snapshot, blob: undefined, wallMs: on.clock.nowMs() - startedMs, usage, logFile };
}

/**
 * The runs of which files are that a copy takes out of stages and images: of these, times count in the copy too. `undefined` for a copy out
 * of a context or from the network.
 */
export function copiedRuns(
  op: FileOp,
  inputs: readonly (InputTree | undefined)[],
  { store }: Pick<SolverDeps, "store">,
): LayerRuns {
  const counted = op.actions.flatMap((action) => {
    const input = action.kind === "copy" ? inputs[action.input] : undefined;
    return input?.kind === "stack" ? store.snapshots.getMany(input.stack).map(runsOf) : [];
  });
  return counted.every((runs) => runs === undefined) ? undefined : counted.flatMap((runs) => runs ?? []);
}

type Ran = Pick<Executed, "usage" | "logFile"> & Pick<SnapshotRow, "runs">;

interface Command extends ExecuteInputs {
  readonly op: ExecOp;
  readonly keyed: KeyedVertex;
  readonly active: ActiveSnapshot;
}

async function runCommand(command: Command, deps: ExecuteDeps, signal: AbortSignal): Promise<Ran> {
  const { op, keyed, active, files, selected, parent } = command;
  const { on, options } = deps;
  const inputs = command.inputs.map((tree, index): MountInput | undefined => {
    const input = keyed.vertex.inputs[index];
    const key = input === undefined ? undefined : deps.keyed.get(input.digest)?.definitionKey;
    return tree === undefined || key === undefined ? undefined : { tree, key };
  });
  const missing = files.missing(active.directories, mountPointsOf(op));
  await using log = on.store.logs.create(keyed.definitionKey.slice("sha256:".length, 20));
  const output = new OutputLog(keyed.vertex.digest, { log, progress: on.progress, clock: on.clock });
  const [upper = active.writable] = active.directories;
  const runtime = new TimedRuntime(on.runtime, upper);
  const isFull = (): boolean => isDiskFull(active.writable);
  const result = await runExec(
    op,
    {
      active,
      inputs,
      settings: options.exec,
      stdio: { kind: "pipes", onOutput: (stream, chunk) => output.write(stream, chunk) },
    },
    {
      runtime,
      native: on.native,
      files,
      selected,
      snapshotter: on.snapshotter,
      cacheMounts: on.store.cacheMounts,
      secrets: on.secrets,
      ssh: on.ssh,
      socketDirectory: join(on.store.layout.root, "scratch"),
    },
    signal,
  ).catch((error: unknown) => {
    if (signal.aborted || (error instanceof BuildError && error.code === "store/full") || !isFull()) throw error;
    throw diskFull(keyed.meta.instruction, { span: keyed.meta.span, cause: error });
  });
  output.end();
  if (result.exitCode !== 0) {
    await log.close();
    const left = { tail: output.tail(), path: log.sizeBytes > 0 ? log.path : undefined };
    if (!result.oomKilled && isFull()) {
      // Its tree is not kept: that would keep the disk full.
      const { instruction, span } = keyed.meta;
      throw diskFull(instruction, { span, detail: left.tail === "" ? undefined : left.tail, logPath: left.path });
    }
    const kept = await keep({ op, keyed, active, inputs, parent, exitCode: result.exitCode }, deps, signal);
    throw failure(op, keyed, result, { ...left, kept });
  }
  leaveMountPoints(active.writable, missing);
  const { cpuMs, peakMemoryBytes, readBytes, writtenBytes } = result;
  return {
    usage: { cpuMs, peakMemoryBytes, readBytes, writtenBytes },
    logFile: log.sizeBytes > 0 ? log.name : undefined,
    runs: [runtime.interval],
  };
}

/** The tree of a failed command becomes a layer like any other, but belongs to no record. */
async function keep(
  failed: {
    readonly op: ExecOp;
    readonly keyed: KeyedVertex;
    readonly active: ActiveSnapshot;
    readonly inputs: readonly (MountInput | undefined)[];
    readonly parent: Stack;
    readonly exitCode: number;
  },
  deps: ExecuteDeps,
  signal: AbortSignal,
): Promise<SnapshotId> {
  const { on, options } = deps;
  const { op, keyed } = failed;
  const id = await failed.active.commit(signal);
  const { limits, network, hostAddresses } = options.exec;
  const step: FailedStep = {
    id,
    name: keyed.meta.name,
    op,
    parent: failed.parent,
    inputs: failed.inputs.map((input) => input ?? null),
    directories: Object.fromEntries([...on.locals].map(([name, { directory }]) => [name, directory])),
    network,
    limits,
    addresses: hostAddresses,
    exitCode: failed.exitCode,
    failedAtMs: on.clock.nowMs(),
  };
  await keepFailedStep(step, on.store, on.snapshotter);
  return id;
}

function failure(
  op: ExecOp,
  keyed: KeyedVertex,
  result: RunResult,
  left: { readonly tail: string; readonly path: string | undefined; readonly kept: SnapshotId },
): BuildError {
  const end = result.oomKilled ? "cannot allocate memory" : `exit code: ${result.exitCode}`;
  return new BuildError(
    "solver/exec-failed",
    // BuildKit's sentence, which people and scripts look for. The instruction itself stands below.
    `process "${coverPasswords(shortCommand(op.argv))}" did not complete successfully: ${end}`,
    {
      span:
        blamedLine(op, keyed.meta.trigger === undefined ? keyed.meta.span : undefined, left.tail) ?? keyed.meta.span,
      detail: [keyed.meta.trigger ?? "", left.tail].filter((text) => text !== "").join("\n") || undefined,
      hint: [
        ...(result.oomKilled ? [outOfMemory(result)] : []),
        ...failureHints(op, left.tail),
        `"kiln shell ${left.kept}" opens a shell where it failed`,
        ...(left.path === undefined ? [] : [`the whole log is ${left.path}`]),
      ].join("; "),
    },
  );
}

function outOfMemory({ peakMemoryBytes }: RunResult): string {
  const reached = peakMemoryBytes === undefined ? "" : ` at ${Math.round(peakMemoryBytes / 2 ** 20)} MiB`;
  return `the step ran out of memory${reached}: raise --memory or let it do less at one time`;
}
