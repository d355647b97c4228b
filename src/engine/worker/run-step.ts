import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Digest, hexOf } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { formatRuns } from "../../../lib/core/run-interval.ts";
import type { SnapshotRow } from "../../../lib/store/model.ts";
import { builtLayerId, layerId } from "../../../lib/store/snapshot-id.ts";
import { lendMeasured, type LayerMeasure } from "../../../lib/tar/measure.ts";
import { runExec } from "../../../solver/ops/exec/exec.ts";
import { leaveMountPoints, mountPointsOf } from "../../../solver/ops/exec/mount-points.ts";
import type { MountInput } from "../../../solver/ops/exec/mounts.ts";
import { TimedRuntime } from "../../../solver/ops/exec/run-interval.ts";
import { FileWork } from "../../../solver/ops/file/file-work.ts";
import type { ActiveSnapshot, RunResult, Stack } from "../../../solver/ports.ts";
import {
  type DocumentLayer,
  LAYER_FILE,
  LAYERS_FOLDER,
  OUTPUT_FOLDER,
  readStep,
  RESULT_FILE,
  type ResultDocument,
  type StepDocument,
} from "../../../solver/remote/step-document.ts";
import { materializeLayers } from "../../../solver/sources/image/materialize.ts";
import type { Engine } from "../engine.ts";
import { Scratch } from "../scratch.ts";

/** A step that was given to this machine: the folder with its document and its layers, and where its output goes. */
export interface GivenStep {
  /** Path of the document. */
  readonly path: string;
  /** The folder with the layers, in which the result is left. */
  readonly folder: string;
  onOutput(stream: "stdout" | "stderr", chunk: Uint8Array): void;
}

/**
 * Runs a step for another machine: unpacks its layers into this machine's store, where later steps find them, runs the
 * command, and leaves the layer's tar and the result beside the document.
 * @returns the result, also of a command that failed
 * @throws {BuildError} when the step cannot be run here at all; then nothing is left
 */
export async function runGivenStep(engine: Engine, given: GivenStep, signal: AbortSignal): Promise<ResultDocument> {
  const step = readStep(await readFile(given.path, "utf8"));
  await requireIsolation(step, engine, signal);
  const stacks = await unpackInputs(step, given.folder, engine, signal);
  const parent = step.parent === undefined ? [] : (stacks[step.parent] ?? []);
  await using active = await engine.snapshotter.prepare(parent, signal);
  const ran = await runCommand(step, { stacks, active }, given, engine, signal);
  const { exitCode, oomKilled, wallMs, cpuMs, readBytes, writtenBytes, peakMemoryBytes, hint } = ran.result;
  const usage = { exitCode, oomKilled, wallMs, cpuMs, readBytes, writtenBytes, peakMemoryBytes, hint };
  await mkdir(join(given.folder, OUTPUT_FOLDER), { recursive: true });
  const layer = exitCode === 0 ? await writeLayer(active, ran.runtime, given, engine, signal) : undefined;
  const result: ResultDocument = { version: 1, ...usage, layer, notices: [] };
  await writeFile(join(given.folder, RESULT_FILE), JSON.stringify(result));
  return result;
}

/** The isolation is a part of the step's key: under another one the result would be kept under a wrong name. */
async function requireIsolation({ isolation }: StepDocument, engine: Engine, signal: AbortSignal): Promise<void> {
  const own = (await engine.commandIsolation(signal)) ?? "full";
  if (own === isolation) return;
  throw new BuildError(
    "remote/unsupported",
    `Cannot run the step here: it is to have ${SHOWN[isolation]}, and this worker gives ${SHOWN[own]}`,
    { hint: "kiln doctor says what the worker lacks" },
  );
}

const SHOWN = {
  full: "namespaces and all ids",
  "single id": "namespaces with a single id",
  chroot: "a chroot only",
} as const;

/** Makes the layers of all inputs present, each once for all steps of this store. */
async function unpackInputs(
  step: StepDocument,
  folder: string,
  engine: Engine,
  signal: AbortSignal,
): Promise<readonly (Stack | undefined)[]> {
  const { store, native, snapshotter, environment } = engine;
  const layers = step.inputs.flatMap((input) => input?.layers ?? []);
  const blobs = new Map(layers.map(({ diffId, blob }) => [diffId, blob]));
  store.snapshots.insert(
    [...new Map(layers.map((layer) => [layer.diffId, layer])).values()].map((layer) => ({
      id: idOf(layer),
      state: "absent",
      diffId: layer.diffId,
    })),
  );
  const laidReady = ({ diffId }: SnapshotRow): Readable | undefined => {
    const blob = diffId === undefined ? undefined : blobs.get(diffId);
    const path = blob === undefined ? undefined : blobPath(folder, blob);
    return path !== undefined && existsSync(path) ? createReadStream(path) : undefined;
  };
  const deps = {
    store,
    native,
    snapshotter,
    progress: () => {},
    clock: environment,
    registry: () => engine.registry(),
    objects: () => engine.objects(),
    clusters: () => engine.clusters(),
    laidReady,
  };
  const stacks: (Stack | undefined)[] = [];
  for (const input of step.inputs) {
    const stack = input?.layers.map(idOf);
    if (stack !== undefined) await materializeLayers(stack, undefined, deps, signal);
    stacks.push(stack);
  }
  return stacks;
}

function idOf({ diffId, isBuilt }: DocumentLayer): Stack[number] {
  return isBuilt ? builtLayerId(diffId) : layerId(diffId);
}

function blobPath(folder: string, blob: Digest): string {
  return join(folder, LAYERS_FOLDER, "blobs", "sha256", hexOf(blob));
}

async function runCommand(
  step: StepDocument,
  { stacks, active }: { readonly stacks: readonly (Stack | undefined)[]; readonly active: ActiveSnapshot },
  given: GivenStep,
  engine: Engine,
  signal: AbortSignal,
): Promise<{ readonly result: RunResult; readonly runtime: TimedRuntime }> {
  const { native, snapshotter, store } = engine;
  const { op, network, limits, addresses, proxies } = step;
  await using files = new FileWork({ native, snapshotter, snapshots: store.snapshots, locals: new Map() });
  await using scratch = new Scratch(engine.scratchPath());
  const missing = files.missing(active.directories, mountPointsOf(op));
  const [upper = active.writable] = active.directories;
  const runtime = new TimedRuntime(engine.runtime, upper);
  const inputs = stacks.map((stack, index): MountInput | undefined =>
    stack === undefined ? undefined : { tree: { kind: "stack", stack }, key: step.inputs[index]?.key ?? "" },
  );
  const result = await runExec(
    op,
    {
      active,
      inputs,
      settings: { proxyEnv: proxies, hostAddresses: addresses, limits, network },
      stdio: { kind: "pipes", onOutput: (stream, chunk) => given.onOutput(stream, chunk) },
    },
    {
      runtime,
      native,
      files,
      selected: new Map(),
      snapshotter,
      cacheMounts: store.cacheMounts,
      // A step with either is never given to another machine.
      secrets: { get: async () => undefined },
      ssh: { socket: async () => undefined },
      socketDirectory: scratch.root,
    },
    signal,
  );
  if (result.exitCode === 0) leaveMountPoints(active.writable, missing);
  return { result, runtime };
}

/** Writes the layer's tar and measures it in the same pass. */
async function writeLayer(
  active: ActiveSnapshot,
  runtime: TimedRuntime,
  { folder }: GivenStep,
  { native, snapshotter }: Engine,
  signal: AbortSignal,
): Promise<NonNullable<ResultDocument["layer"]>> {
  const runs = [runtime.interval];
  const id = await active.commit(signal);
  try {
    const options = { directory: snapshotter.pathOf(id), marks: snapshotter.marks, runs };
    let measure: LayerMeasure | undefined;
    const tar = async function* (): AsyncGenerator<Buffer, void> {
      const lent = lendMeasured(native, options, signal);
      for (let next = await lent.next(); ; next = await lent.next()) {
        if (next.done === true) {
          measure = next.value;
          return;
        }
        yield Buffer.from(next.value);
      }
    };
    await pipeline(Readable.from(tar(), { objectMode: false }), createWriteStream(join(folder, LAYER_FILE)), {
      signal,
    });
    if (measure === undefined) throw new Error("A layer was not read to its end");
    const { diffId, sizeBytes, contentDigest } = measure;
    return { diffId, sizeBytes, contentDigest, runs: formatRuns(runs) };
  } finally {
    await snapshotter.remove(id);
  }
}
