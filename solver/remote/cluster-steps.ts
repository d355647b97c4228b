import { type Digest, hexOf } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { MEDIA_TYPES } from "../../lib/core/oci.ts";
import { inWholeSeconds, parseRuns } from "../../lib/core/run-interval.ts";
import { type Blob, type BlobName, fromBlobDigest, MissingBlobError } from "../../lib/reapi/blobs.ts";
import type { Cluster } from "../../lib/reapi/cluster.ts";
import { MissingInputsError } from "../../lib/reapi/execution.ts";
import type { ActionResult } from "../../lib/reapi/protocol.ts";
import { builtLayerId } from "../../lib/store/snapshot-id.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { ExecOp } from "../graph/op.ts";
import type { ExecSettings, PreparedStep, RemoteResult, RemoteStep, RemoteSteps } from "../ports.ts";
import { resultFile, smallBlob, workerFailure } from "./action-output.ts";
import { type StepAction, stepAction, type WorkerProgram, type WorkerProperties } from "./action.ts";
import {
  type DocumentLayer,
  LAYER_FILE,
  readResult,
  RESULT_FILE,
  type ResultDocument,
  type StepDocument,
} from "./step-document.ts";

/** A layer as a cluster can have it: the blob, and what it is of. */
export interface SentLayer {
  readonly diffId: Digest;
  readonly isBuilt: boolean;
  readonly blob: Blob;
}

export interface ClusterStepsDeps {
  readonly cluster: Cluster;
  /** The text under which the cluster's blobs are known in the store. */
  readonly repository: string;
  /** Finds the blob of a layer, without opening it. */
  readonly layer: (id: SnapshotId, signal: AbortSignal) => Promise<SentLayer>;
  /** Tells whether a layer is known to be in the cluster since an earlier build. */
  readonly isKept: (id: SnapshotId) => boolean;
  readonly program: (signal: AbortSignal) => Promise<WorkerProgram>;
  readonly properties: WorkerProperties;
  /** The number of steps at one time; `undefined` leaves it to us. */
  readonly jobs: number | undefined;
  /** True when steps run here while the cluster is away. */
  readonly fallsBack: boolean;
  readonly notice: (level: "info" | "warning", message: string, hint?: string) => void;
}

/** Steps of a server that does not say how many workers it has. */
const USUAL_SLOTS = 128;
/** Times that the blobs of one action are sent again before it is given up: a storage that loses them is too small. */
const MAX_SENDS = 4;
/** Output beyond this is not fetched: it would be held in memory. */
const MAX_OUTPUT_BYTES = 64 << 20;

/** Steps on a cluster of the Remote Execution API. */
export class ClusterSteps implements RemoteSteps {
  readonly location: string;
  readonly #deps: ClusterStepsDeps;
  readonly #told = new Set<string>();
  /** Blobs that the storage has, as far as this build knows. */
  readonly #present = new Set<Digest>();
  /** Blobs on their way. */
  readonly #sending = new Map<Digest, Promise<void>>();
  /** Blobs of layers, each looked for once: a stack of many is an input of many steps. */
  readonly #sent = new Map<SnapshotId, Promise<SentLayer>>();
  /** Layers that steps of this build took there or made there. */
  readonly #layers = new Set<SnapshotId>();

  constructor(deps: ClusterStepsDeps) {
    this.#deps = deps;
    this.location = deps.cluster.place.url;
  }

  get bytesPerMs(): number {
    return this.#deps.cluster.blobs.bytesPerMs;
  }

  has(layer: SnapshotId): boolean {
    return this.#layers.has(layer) || this.#deps.isKept(layer);
  }

  async slots(signal: AbortSignal): Promise<number | undefined> {
    const { cluster, jobs, fallsBack, notice } = this.#deps;
    try {
      const { runsActions } = await cluster.abilities(signal);
      if (runsActions) return jobs ?? USUAL_SLOTS;
      throw new BuildError(
        "remote/unsupported",
        `Cannot build at ${JSON.stringify(this.location)}: it runs no actions`,
        {
          hint: "--cache-from and --cache-to type=reapi use a server that only stores",
        },
      );
    } catch (error) {
      signal.throwIfAborted();
      if (!fallsBack || !(error instanceof BuildError)) throw error;
      notice("warning", `All steps run here: ${error.message}`);
      return undefined;
    }
  }

  staysFor(op: ExecOp, settings: Omit<ExecSettings, "entitlements">): string | undefined {
    if (op.security === "insecure") throw notRemote("a command with security=insecure");
    const network = op.network === "default" ? settings.network : op.network;
    if (network === "host") throw notRemote("a command on the host's network");
    const mounts = new Set(op.mounts.map(({ type }) => type));
    if (mounts.has("secret")) return "its secrets do not leave this machine";
    if (mounts.has("ssh")) return "its ssh agent does not leave this machine";
    if (settings.proxyEnv.some((setting) => setting.includes("@"))) return "its proxy settings hold a password";
    return undefined;
  }

  async prepare(step: RemoteStep, signal: AbortSignal): Promise<PreparedStep> {
    if (step.op.mounts.some(({ type }) => type === "cache")) this.#tellCaches();
    const program = await this.#deps.program(signal);
    const inputs = await Promise.all(
      step.inputs.map(async (input) => {
        if (input === undefined) return undefined;
        const layers = await Promise.all(input.layers.map((id) => this.#layer(id, signal)));
        return { layers, key: input.key };
      }),
    );
    const document = documentOf(step, inputs);
    const layers = new Map(inputs.flatMap((input) => input?.layers ?? []).map(({ blob }) => [blob.digest, blob]));
    const action = stepAction(document, [...layers.values()], program, this.#deps.properties);
    // A server believes its action cache longer than we do.
    let isStale = false;
    return {
      cached: async (s) => {
        const found = await this.#cached(action, s);
        isStale = found === "stale";
        return found === "stale" ? undefined : found;
      },
      run: (run, s) => this.#run(step, action, { ...run, isStale }, s),
    };
  }

  #layer(id: SnapshotId, signal: AbortSignal): Promise<SentLayer> {
    const known = this.#sent.get(id);
    if (known !== undefined) return known;
    const found = this.#deps.layer(id, signal);
    this.#sent.set(id, found);
    // What failed for one step, or was cancelled with it, is tried again by the next.
    found.catch(() => this.#sent.delete(id));
    return found;
  }

  /** Finds the result of an equal action; `stale` when the storage has it not any more. */
  async #cached({ action }: StepAction, signal: AbortSignal): Promise<RemoteResult | "stale" | undefined> {
    const { cluster } = this.#deps;
    const inlined = { files: [RESULT_FILE], output: false };
    const result = await cluster.cachedResult(action, inlined, signal);
    if (result === undefined || result.exitCode !== 0) return undefined;
    try {
      const read = await this.#read(result, signal);
      // An action cache may outlive its storage.
      const blob = read.made?.blob.descriptor;
      if (blob === undefined) return undefined;
      return (await cluster.blobs.missing([blob], signal)).length > 0 ? "stale" : read;
    } catch (error) {
      if (error instanceof MissingBlobError) return "stale";
      throw error;
    }
  }

  async #run(
    step: RemoteStep,
    { action, blobs }: StepAction,
    run: Parameters<PreparedStep["run"]>[0] & { readonly isStale: boolean },
    signal: AbortSignal,
  ): Promise<RemoteResult> {
    const { cluster } = this.#deps;
    let isAgain = run.isStale;
    for (let sends = 1; ; sends += 1) {
      await this.#send(blobs, signal);
      try {
        const options = { priority: urgency(run.priority), skipsCache: isAgain };
        const { result } = await cluster.execution.run(action, options, { name: step.name }, signal);
        const read = await this.#read(result, signal);
        for (const id of step.inputs.flatMap((input) => input?.layers ?? [])) this.#layers.add(id);
        if (read.made !== undefined) this.#layers.add(read.made.snapshot.id);
        await this.#output(result, run, signal);
        return read;
      } catch (error) {
        signal.throwIfAborted();
        const isLost = error instanceof MissingInputsError || error instanceof MissingBlobError;
        if (!isLost) throw error;
        // Nothing is believed any more of what the storage had; and a result that is lost is made again.
        this.#present.clear();
        isAgain = error instanceof MissingBlobError;
        if (sends < MAX_SENDS) continue;
        throw new BuildError(
          "remote/failed",
          `The cluster has lost blobs of ${step.name} again and again: ${error.message}`,
          {
            hint: "its storage may be too small for what is built",
            cause: error,
          },
        );
      }
    }
  }

  /** Sends what the storage has not. A blob of several steps, like the program, is asked for and sent once. */
  async #send(blobs: readonly Blob[], signal: AbortSignal): Promise<void> {
    for (;;) {
      const unknown = blobs.filter(({ digest }) => !this.#present.has(digest));
      if (unknown.length === 0) return;
      const own = unknown.filter(({ digest }) => !this.#sending.has(digest));
      const others = new Set(unknown.flatMap(({ digest }) => this.#sending.get(digest) ?? []));
      await this.#sendNew(own, signal);
      // What another step fails to send is tried again here.
      await Promise.allSettled(others);
    }
  }

  async #sendNew(blobs: readonly Blob[], signal: AbortSignal): Promise<void> {
    if (blobs.length === 0) return;
    const { cluster } = this.#deps;
    const sent = cluster.blobs.missing(blobs, signal).then((missing) => cluster.blobs.send(missing, signal));
    for (const { digest } of blobs) this.#sending.set(digest, sent);
    try {
      await sent;
      for (const { digest } of blobs) this.#present.add(digest);
    } finally {
      for (const { digest } of blobs) this.#sending.delete(digest);
    }
  }

  async #read(result: ActionResult, signal: AbortSignal): Promise<RemoteResult> {
    const { cluster } = this.#deps;
    const text = await resultFile(cluster, result, RESULT_FILE, signal);
    if (text === undefined) throw await workerFailure(cluster, result, "run the step", signal);
    const document = readResult(text);
    for (const message of document.notices) this.#tell(message);
    const { exitCode, oomKilled, wallMs, cpuMs, readBytes, writtenBytes, peakMemoryBytes, hint } = document;
    const usage = { exitCode, oomKilled, wallMs, cpuMs, readBytes, writtenBytes, peakMemoryBytes };
    const made = exitCode === 0 ? this.#made(result, document) : undefined;
    return { ...usage, ...(hint === undefined ? {} : { hint }), made };
  }

  /** Takes the layer of a result. Its bytes are a tar, and the diffID is a tar's digest: the two must be one. */
  #made(result: ActionResult, { layer }: ResultDocument): NonNullable<RemoteResult["made"]> {
    const file = result.outputFiles.find(({ path }) => path === LAYER_FILE);
    if (layer === undefined || file === undefined) {
      throw new BuildError("remote/failed", "Cannot use a worker's result: it has no layer");
    }
    const { digest, size } = fromBlobDigest(file.digest);
    if (digest !== layer.diffId || size !== layer.sizeBytes) {
      throw new BuildError(
        "digest/mismatch",
        `Cannot use layer ${digest} of ${JSON.stringify(this.location)}: its worker says it is ${layer.diffId}`,
        { hint: "the worker is damaged, or is not to be trusted" },
      );
    }
    const { contentDigest, runs } = layer;
    const id = builtLayerId(digest);
    return {
      snapshot: {
        id,
        state: "absent",
        diffId: digest,
        tarSizeBytes: size,
        contentDigest,
        runs: inWholeSeconds(parseRuns(runs)),
      },
      blob: {
        diffId: digest,
        descriptor: { mediaType: MEDIA_TYPES.ociLayer, digest, size },
        repository: this.#deps.repository,
      },
    };
  }

  async #output(
    { stdoutRaw, stdoutDigest, stderrRaw, stderrDigest }: ActionResult,
    run: Parameters<PreparedStep["run"]>[0],
    signal: AbortSignal,
  ): Promise<void> {
    const streams = [
      { stream: "stdout", raw: stdoutRaw, digest: stdoutDigest },
      { stream: "stderr", raw: stderrRaw, digest: stderrDigest },
    ] as const;
    for (const { stream, raw, digest } of streams) {
      const bytes =
        raw.byteLength > 0 ? raw : await this.#text(digest === undefined ? undefined : fromBlobDigest(digest), signal);
      if (bytes.byteLength > 0) run.onOutput(stream, bytes);
    }
  }

  async #text(name: BlobName | undefined, signal: AbortSignal): Promise<Uint8Array> {
    if (name === undefined || name.size === 0) return new Uint8Array();
    if (name.size <= MAX_OUTPUT_BYTES) return smallBlob(this.#deps.cluster, name, MAX_OUTPUT_BYTES, signal);
    this.#tell(`${name.size} bytes of a command's output stay in the cluster, as blob ${hexOf(name.digest)}`);
    return new Uint8Array();
  }

  #tellCaches(): void {
    this.#tell(
      "Cache mounts of steps that run in the cluster are those of each worker's store; without one they are empty",
      "KILN_WORKER_STORE on the workers names a folder for it",
    );
  }

  #tell(message: string, hint?: string): void {
    if (this.#told.has(message)) return;
    this.#told.add(message);
    this.#deps.notice("info", message, hint);
  }
}

function documentOf(
  { op, parent, settings, isolation }: RemoteStep,
  inputs: readonly ({ readonly layers: readonly SentLayer[]; readonly key: string } | undefined)[],
): StepDocument {
  const { network, limits, hostAddresses, proxyEnv } = settings;
  const layerOf = ({ diffId, isBuilt, blob }: SentLayer): DocumentLayer => ({ diffId, blob: blob.digest, isBuilt });
  return {
    version: 1,
    op,
    inputs: inputs.map((input) => (input === undefined ? null : { layers: input.layers.map(layerOf), key: input.key })),
    ...(parent === undefined ? {} : { parent }),
    network: network === "host" ? "default" : network,
    limits,
    addresses: hostAddresses.filter(({ name }) => op.extraHosts.includes(name)),
    proxies: proxyEnv,
    isolation,
  };
}

/** Words the longest way behind a step, in milliseconds, as a priority of the standard, where less is sooner. */
function urgency(priorityMs: number): number {
  return -Math.min(MOST_URGENT, Math.ceil(priorityMs / 1000));
}

/** Servers take priorities of some size only. */
const MOST_URGENT = 1000;

function notRemote(what: string): BuildError {
  return new BuildError("remote/unsupported", `Cannot run ${what} in a cluster`, {
    hint: "it would be another machine's: leave out --remote",
  });
}
