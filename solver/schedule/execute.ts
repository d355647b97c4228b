import { BuildError } from "../../src/core/errors.ts";
import type { Digest } from "../../src/core/digest.ts";
import type { SnapshotId } from "../../src/store/model.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import type { SolveOptions, SolverDeps } from "../deps.ts";
import type { ExecOp } from "../graph/op.ts";
import { runExec } from "../ops/exec/exec.ts";
import type { MountInput } from "../ops/exec/mounts.ts";
import type { ActiveSnapshot, RunResult, Stack } from "../ports.ts";
import type { Selection } from "../sources/local/select.ts";
import type { FileWork, InputTree } from "./file-work.ts";
import { OutputLog } from "./output-log.ts";

/** What running a step gave: a committed snapshot without a row, and what it cost. */
export interface Executed {
  readonly snapshot: SnapshotId;
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakMemoryBytes: number | undefined;
  readonly logFile: string | undefined;
}

interface ExecuteDeps {
  readonly on: SolverDeps;
  readonly options: SolveOptions;
  readonly keyed: ReadonlyMap<Digest, KeyedVertex>;
}

interface ExecuteInputs {
  /** By index of the vertex's inputs; layers are present. */
  readonly inputs: readonly (InputTree | undefined)[];
  readonly parent: Stack;
  readonly files: FileWork;
  /** What has been found in the inputs, by name of the part. */
  readonly selected: ReadonlyMap<string, Selection>;
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
  const startedMs = on.clock.nowMs();
  await using active = await on.snapshotter.prepare(at.parent, signal);
  let ran: Pick<Executed, "cpuMs" | "peakMemoryBytes" | "logFile"> = {
    cpuMs: 0,
    peakMemoryBytes: undefined,
    logFile: undefined,
  };
  switch (op.kind) {
    case "exec":
      ran = await runCommand(op, keyed, active, at, deps, signal);
      break;
    case "file":
      await at.files.run(op, { directories: active.directories, inputs: at.inputs, selected: at.selected }, signal);
      break;
    case "http":
    case "git":
      await keyed.found?.writeTo(topOf(active), signal);
      break;
    default:
      throw new Error(`A ${op.kind} vertex is not run`);
  }
  const snapshot = await active.commit(signal);
  return { snapshot, wallMs: on.clock.nowMs() - startedMs, ...ran };
}

async function runCommand(
  op: ExecOp,
  keyed: KeyedVertex,
  active: ActiveSnapshot,
  at: ExecuteInputs,
  deps: ExecuteDeps,
  signal: AbortSignal,
): Promise<Pick<Executed, "cpuMs" | "peakMemoryBytes" | "logFile">> {
  const { on, options } = deps;
  const inputs = at.inputs.map((tree, index): MountInput | undefined => {
    const input = keyed.vertex.inputs[index];
    const key = input === undefined ? undefined : deps.keyed.get(input.digest)?.definitionKey;
    return tree === undefined || key === undefined ? undefined : { tree, key };
  });
  await using log = on.store.logs.create(keyed.definitionKey.slice("sha256:".length, 20));
  const output = new OutputLog(keyed.vertex.digest, { log, progress: on.progress, clock: on.clock });
  const result = await runExec(
    op,
    { active, inputs, settings: options.exec, output },
    {
      runtime: on.runtime,
      files: at.files,
      snapshotter: on.snapshotter,
      cacheMounts: on.store.cacheMounts,
      secrets: on.secrets,
      ssh: on.ssh,
    },
    signal,
  );
  output.end();
  if (result.exitCode !== 0) {
    await log.close();
    throw failure(op, keyed, result, { tail: output.tail(), path: log.sizeBytes > 0 ? log.path : undefined });
  }
  return {
    cpuMs: result.cpuMs,
    peakMemoryBytes: result.peakMemoryBytes,
    logFile: log.sizeBytes > 0 ? log.name : undefined,
  };
}

function failure(
  op: ExecOp,
  keyed: KeyedVertex,
  result: RunResult,
  log: { readonly tail: string; readonly path: string | undefined },
): BuildError {
  const end = result.oomKilled ? "cannot allocate memory" : `exit code: ${result.exitCode}`;
  return new BuildError(
    "solver/exec-failed",
    // The end is BuildKit's sentence, which people and scripts look for.
    `Cannot run "${keyed.meta.instruction}": process "${op.argv.join(" ")}" did not complete successfully: ${end}`,
    {
      span: keyed.meta.span,
      detail: log.tail === "" ? undefined : log.tail,
      hint: result.oomKilled
        ? "the step ran out of memory; raise --memory or let it do less at one time"
        : log.path && `the whole log is ${log.path}`,
    },
  );
}

function topOf(active: ActiveSnapshot): string {
  const [top] = active.directories;
  if (top === undefined) throw new Error("A snapshot in the making has no directory");
  return top;
}
