import type { Digest } from "../../lib/core/digest.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import { mountParts } from "../cache/uses.ts";
import type { KeyedVertex } from "../cache/keyed-graph.ts";
import type { SolverDeps } from "../deps.ts";
import type { ExecMount, ExecOp } from "../graph/op.ts";
import { parentInput } from "../graph/op-facts.ts";
import { COPIED, copyOf } from "../ops/exec/mounts.ts";
import type { FileWork, InputTree } from "../ops/file/file-work.ts";
import type { PreparedStep, RemoteInput, RemoteResult, RemoteSteps } from "../ports.ts";
import type { Selection } from "../select/select.ts";
import { type ExecuteDeps, type Executed, failure } from "./execute.ts";
import { distinct } from "./layers.ts";
import { OutputLog } from "./output-log.ts";

/** A command that runs on another machine. */
export interface TravellingCommand {
  readonly keyed: KeyedVertex;
  readonly op: ExecOp;
}

/** The inputs of a command that runs elsewhere. Their layers may be absent here. */
export interface ElsewhereInputs {
  readonly inputs: readonly (InputTree | undefined)[];
  readonly files: FileWork;
  readonly selected: ReadonlyMap<string, Selection>;
}

/** Describes a command to the machines that are to run it. Of the client's directories it takes exactly the files that are mounted. */
export async function prepareElsewhere(
  { keyed, op }: TravellingCommand,
  context: ElsewhereInputs,
  steps: RemoteSteps,
  deps: ExecuteDeps,
  signal: AbortSignal,
): Promise<PreparedStep> {
  const { solver, options } = deps;
  const parts = mountParts(op);
  const seeds = new Set(op.mounts.flatMap((mount) => (mount.type === "cache" ? (mount.seed?.input ?? []) : [])));
  const inputs = context.inputs.map((tree, index): RemoteInput | undefined => {
    if (tree?.kind !== "stack") return undefined;
    const input = keyed.vertex.inputs[index];
    const key = seeds.has(index) && input !== undefined ? deps.keyed.get(input.digest)?.definitionKey : undefined;
    return { layers: distinct(tree.stack), key: key ?? "" };
  });
  const mounts: ExecMount[] = [];
  for (const mount of op.mounts) {
    const from = mount.type === "bind" ? mount : mount.type === "cache" ? mount.seed : undefined;
    const tree = from === undefined ? undefined : context.inputs[from.input];
    const part = parts.get(mount) ?? "";
    if (from === undefined || tree?.kind !== "local") {
      mounts.push(mount);
      continue;
    }
    const layer = await copiedLayer({ tree, source: from.source, part }, context, solver, signal);
    const copied = { input: inputs.length, source: COPIED };
    inputs.push({ layers: [layer], key: context.selected.get(part)?.digest ?? "" });
    mounts.push(mount.type === "cache" ? { ...mount, seed: copied } : { ...mount, ...copied });
  }
  return steps.prepare(
    {
      vertex: keyed.vertex.digest,
      name: keyed.meta.name,
      op: { ...op, mounts },
      inputs,
      parent: parentInput(op),
      settings: options.exec,
      isolation: solver.isolation ?? "full",
    },
    signal,
  );
}

/** Copies the files of a mount into a layer, which nothing but this step names. */
async function copiedLayer(
  from: { readonly tree: InputTree; readonly source: string; readonly part: string },
  { files, selected }: ElsewhereInputs,
  { snapshotter, store }: Pick<SolverDeps, "snapshotter" | "store">,
  signal: AbortSignal,
): Promise<SnapshotId> {
  await using copy = await snapshotter.prepare([], signal);
  const { directories } = copy;
  const partOf = (): string => from.part;
  await files.run(copyOf(from.source, COPIED), { directories, inputs: [from.tree], selected, partOf }, signal);
  const id = await copy.commit(signal);
  store.snapshots.insert([{ id, state: "present" }]);
  return id;
}

/** Takes the result of an equal command that ran before, in this build or another. */
export function takenElsewhere(result: RemoteResult): Executed | undefined {
  return result.made === undefined ? undefined : executed(result, result.made, undefined);
}

/**
 * Runs a prepared command elsewhere. Its layer stays there until somebody needs its bytes.
 * @throws {BuildError} `solver/exec-failed`
 */
export async function executeElsewhere(
  { keyed, op }: TravellingCommand,
  prepared: PreparedStep,
  priority: number,
  { solver }: { readonly solver: SolverDeps },
  signal: AbortSignal,
): Promise<Executed> {
  using log = solver.store.logs.create(logName(keyed.definitionKey));
  const output = new OutputLog(keyed.vertex.digest, { log, progress: solver.progress, clock: solver.clock });
  const result = await prepared.run({ priority, onOutput: (stream, chunk) => output.write(stream, chunk) }, signal);
  output.end();
  if (result.made === undefined) {
    throw failure(op, keyed, result, { tail: output.tail(), log: output.close(), kept: undefined });
  }
  return executed(result, result.made, log.sizeBytes > 0 ? log.name : undefined);
}

function executed(
  { wallMs, cpuMs, peakMemoryBytes, readBytes, writtenBytes }: RemoteResult,
  { snapshot, blob }: NonNullable<RemoteResult["made"]>,
  logFile: string | undefined,
): Executed {
  return { snapshot, blob, wallMs, usage: { cpuMs, peakMemoryBytes, readBytes, writtenBytes }, logFile };
}

function logName(key: Digest): string {
  return key.slice("sha256:".length, 20);
}
