import { coverPasswords } from "../../lib/core/credentials.ts";
import { join } from "node:path";
import { BuildError, unreachable } from "../../lib/core/errors.ts";
import type { Digest } from "../../lib/core/digest.ts";
import { inWholeSeconds, type LayerRuns, type RunInterval } from "../../lib/core/run-interval.ts";
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

/** The result of running a step, before any row is written: a committed snapshot or a layer's blob, and its cost. */
export interface Executed {
  readonly snapshot: NewSnapshot;
  /** The blob with the layer's tar where its files are absent. */
  readonly blob: LayerBlob | undefined;
  readonly wallMs: number;
  /** Usage of a command; file operations are not measured. */
  readonly usage: StepUsage | undefined;
  readonly logFile: string | undefined;
}

export interface ExecuteDeps {
  readonly solver: SolverDeps;
  readonly options: SolveOptions;
  readonly keyed: ReadonlyMap<Digest, KeyedVertex>;
}

export interface ExecuteInputs {
  /** Inputs by index in the vertex; layers are present. */
  readonly inputs: readonly (InputTree | undefined)[];
  readonly parent: Stack;
  readonly files: FileWork;
  /** Selections from the inputs, by name of the part. */
  readonly selected: ReadonlyMap<string, Selection>;
  /** Earlier result of the same copy, to share files with. */
  readonly earlier?: EarlierResult | undefined;
}

/** Runs one step on a new layer and commits it. A failed or aborted step leaves nothing but its log. */
export async function executeStep(
  keyed: KeyedVertex,
  context: ExecuteInputs,
  deps: ExecuteDeps,
  signal: AbortSignal,
): Promise<Executed> {
  const { solver } = deps;
  const { op } = keyed.vertex;
  if (!isRecorded(op)) throw new Error(`A ${op.kind} vertex is not run`);
  const startedMs = solver.clock.nowMs();
  await using active = await solver.snapshotter.prepare(context.parent, signal);
  let ran: Ran = { usage: undefined, logFile: undefined, runs: undefined };
  switch (op.kind) {
    case "exec":
      ran = await runCommand({ ...context, op, keyed, active }, deps, signal);
      break;
    case "file": {
      const fromNs = kernelStamp(active.writable);
      await context.files.run(
        op,
        {
          directories: active.directories,
          inputs: context.inputs,
          selected: context.selected,
          earlier: context.earlier,
          warn: (message, hint) =>
            solver.progress(warningAt(keyed.meta, `${keyed.meta.instruction}: ${message}`, hint)),
        },
        signal,
      );
      const made = { fromNs, untilNs: kernelStamp(active.writable) };
      ran = { ...ran, runs: copyRuns(op, context.inputs, made, solver) };
      break;
    }
    case "http":
    case "git":
      await keyed.found?.writeTo(active.writable, signal);
      if (op.kind === "http" && op.modified !== undefined) ran = { ...ran, runs: [] };
      break;
    default:
      return unreachable(op);
  }
  const { runs, usage, logFile } = ran;
  const id = await active.commit(signal);
  const snapshot: NewSnapshot = runs === undefined ? { id, state: "present" } : { id, state: "present", runs };
  return { snapshot, blob: undefined, wallMs: solver.clock.nowMs() - startedMs, usage, logFile };
}

/**
 * Returns the runs of a copy's layer: those of the stages and images that it reads, whose files' times count in the copy
 * too, and its own. `undefined` for a copy from a context or the network. The one time of uniform files counts, and new
 * directories have it as well.
 * @param made the copy's own
 */
export function copyRuns(
  op: FileOp,
  inputs: readonly (InputTree | undefined)[],
  made: RunInterval,
  { store }: Pick<SolverDeps, "store">,
): LayerRuns {
  const counted = op.actions.flatMap((action) => {
    const input = action.kind === "copy" ? inputs[action.input] : undefined;
    return input?.kind === "stack" ? store.snapshots.getMany(input.stack).map(runsOf) : [];
  });
  if (inputs.some((input) => input?.kind === "local" && input.op.uniformTime !== undefined)) return [];
  // A text of the Dockerfile that is given a time.
  if (op.actions.some((action) => action.kind === "mkfile" && action.timestamp !== undefined)) return [];
  if (counted.every((runs) => runs === undefined)) return undefined;
  return inWholeSeconds([made, ...counted.flatMap((runs) => runs ?? [])]);
}

type Ran = Pick<Executed, "usage" | "logFile"> & Pick<SnapshotRow, "runs">;

interface Command extends ExecuteInputs {
  readonly op: ExecOp;
  readonly keyed: KeyedVertex;
  readonly active: ActiveSnapshot;
}

async function runCommand(command: Command, deps: ExecuteDeps, signal: AbortSignal): Promise<Ran> {
  const { op, keyed, active, files, selected, parent } = command;
  const { solver, options } = deps;
  const inputs = command.inputs.map((tree, index): MountInput | undefined => {
    const input = keyed.vertex.inputs[index];
    const key = input === undefined ? undefined : deps.keyed.get(input.digest)?.definitionKey;
    return tree === undefined || key === undefined ? undefined : { tree, key };
  });
  const missing = files.missing(active.directories, mountPointsOf(op));
  using log = solver.store.logs.create(keyed.definitionKey.slice("sha256:".length, 20));
  const output = new OutputLog(keyed.vertex.digest, { log, progress: solver.progress, clock: solver.clock });
  const [upper = active.writable] = active.directories;
  const runtime = new TimedRuntime(solver.runtime, upper);
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
      native: solver.native,
      files,
      selected,
      snapshotter: solver.snapshotter,
      cacheMounts: solver.store.cacheMounts,
      secrets: solver.secrets,
      ssh: solver.ssh,
      socketDirectory: join(solver.store.layout.root, "scratch"),
    },
    signal,
  )
    .finally(() => {
      if (log.sizeBytes > 0) options.onLog?.(keyed.vertex.digest, log.name);
    })
    .catch((error: unknown) => {
      if (signal.aborted || (error instanceof BuildError && error.code === "store/full") || !isFull()) throw error;
      throw diskFull(keyed.meta.instruction, { span: keyed.meta.span, cause: error });
    });
  output.end();
  if (result.exitCode !== 0) {
    const left = { tail: output.tail(), log: output.close() };
    if (!result.oomKilled && isFull()) {
      // Its tree is not kept: that would keep the disk full.
      const { instruction, span } = keyed.meta;
      throw diskFull(instruction, { span, detail: left.tail === "" ? undefined : left.tail, log: left.log });
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

/** Keeps the tree of a failed command as a layer like any other, but without a record. */
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
  const { solver, options } = deps;
  const { op, keyed } = failed;
  const id = await failed.active.commit(signal);
  const { limits, network, hostAddresses } = options.exec;
  const step: FailedStep = {
    id,
    name: keyed.meta.name,
    op,
    parent: failed.parent,
    inputs: failed.inputs.map((input) => input ?? null),
    directories: Object.fromEntries([...solver.locals].map(([name, { directory }]) => [name, directory])),
    network,
    limits,
    addresses: hostAddresses,
    exitCode: failed.exitCode,
    failedAtMs: solver.clock.nowMs(),
  };
  await keepFailedStep(step, solver.store, solver.snapshotter);
  options.onFailed?.(keyed.vertex.digest, [...failed.parent, id]);
  return id;
}

/** Makes the error of a command that failed. `kept`: its tree, where that is here. */
export function failure(
  op: ExecOp,
  keyed: KeyedVertex,
  result: RunResult,
  left: { readonly tail: string; readonly log: string | undefined; readonly kept: SnapshotId | undefined },
): BuildError {
  const end = result.oomKilled ? "cannot allocate memory" : `exit code: ${result.exitCode}`;
  return new BuildError(
    "solver/exec-failed",
    // BuildKit's sentence, which people and scripts look for. The instruction itself follows below.
    `process "${coverPasswords(shortCommand(op.argv))}" did not complete successfully: ${end}`,
    {
      span:
        blamedLine(op, keyed.meta.trigger === undefined ? keyed.meta.span : undefined, left.tail) ?? keyed.meta.span,
      detail: [keyed.meta.trigger ?? "", left.tail].filter((text) => text !== "").join("\n") || undefined,
      hint: [
        ...(result.oomKilled ? [outOfMemory(result)] : []),
        ...failureHints(op, left.tail),
        ...(result.hint === undefined ? [] : [result.hint]),
        ...(left.kept === undefined ? [] : [`"kiln shell ${left.kept}" opens a shell where it failed`]),
        ...(left.log === undefined ? [] : [left.log]),
      ].join("; "),
    },
  );
}

function outOfMemory({ peakMemoryBytes }: RunResult): string {
  const reached = peakMemoryBytes === undefined ? "" : ` at ${Math.round(peakMemoryBytes / 2 ** 20)} MiB`;
  return `the step ran out of memory${reached}: raise --memory or let it do less at one time`;
}
