import { timed } from "../../../lib/core/debug.ts";
import type { Digest } from "../../../lib/core/digest.ts";
import type { Native } from "../../../lib/native/native.ts";
import { lendMeasured, type LayerMeasure } from "../../../lib/tar/measure.ts";
import type { PackOptions } from "../../../lib/tar/pack.ts";
import type { PackPool } from "../../../lib/tar/pack-pool.ts";
import type { SnapshotId, SnapshotRow } from "../../../lib/store/model.ts";
import type { Store } from "../../../lib/store/store.ts";
import type { ContentDigests, Snapshotter } from "../../../solver/ports.ts";
import type { EarlyPacker } from "../../export/early-layers.ts";

/** The result of packing a layer; kept in the snapshot's row. */
export interface PackedLayer {
  readonly diffId: Digest;
  readonly tarSizeBytes: number;
}

export interface LayerPackerDeps {
  readonly store: Pick<Store, "snapshots">;
  readonly native: Native;
  readonly snapshotter: Pick<Snapshotter, "pathOf" | "marks">;
  readonly packPool: Pick<PackPool, "measure">;
}

/**
 * A packer of snapshots into layers, each once per build: one pass over the files gives diffID, size and content
 * digest, and the bytes are discarded. It starts as soon as a step commits, and runs beside the next steps.
 */
export class LayerPacker implements ContentDigests, EarlyPacker, AsyncDisposable {
  readonly #deps: LayerPackerDeps;
  readonly #running = new Map<SnapshotId, Promise<LayerMeasure>>();
  /** Layers whose tar goes somewhere while it is measured. */
  readonly #passing = new Map<SnapshotId, Promise<LayerMeasure>>();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;

  constructor(deps: LayerPackerDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
  }

  /** Begins in the background. A failure goes to the caller that asks for the result. */
  start(id: SnapshotId): void {
    this.#pack(id).catch(() => {});
  }

  async layer(id: SnapshotId, signal: AbortSignal): Promise<PackedLayer> {
    const row = this.#row(id);
    if (row?.diffId !== undefined && row.tarSizeBytes !== undefined) {
      return { diffId: row.diffId, tarSizeBytes: row.tarSizeBytes };
    }
    // When the pass breaks off, that is its reader's failure, and not the layer's.
    const passing = await this.#passing.get(id)?.catch(() => undefined);
    const { diffId, sizeBytes } = passing ?? (await this.#pack(id));
    signal.throwIfAborted();
    return { diffId, tarSizeBytes: sizeBytes };
  }

  async packOnce<T>(
    id: SnapshotId,
    consume: (tar: AsyncIterable<Buffer>) => Promise<T>,
  ): Promise<{ readonly measure: LayerMeasure; readonly value: T } | undefined> {
    if (this.#running.has(id) || this.#passing.has(id) || this.#row(id)?.state !== "present") return undefined;
    if (this.#row(id)?.diffId !== undefined) return undefined;
    const passed = Promise.withResolvers<LayerMeasure>();
    passed.promise.catch(() => undefined);
    this.#passing.set(id, passed.promise);
    try {
      let measure: LayerMeasure | undefined;
      const { native } = this.#deps;
      const options = this.#optionsOf(id);
      const signal = this.#signal;
      const tar = async function* (): AsyncGenerator<Buffer, void> {
        measure = yield* lendMeasured(native, options, signal);
      };
      const value = await timed("export", `pack layer ${id}`, () => consume(tar()));
      if (measure === undefined) throw new Error(`Layer ${id} was not read to its end`);
      this.#learn(id, measure);
      passed.resolve(measure);
      return { measure, value };
    } catch (error) {
      this.#passing.delete(id);
      passed.reject(error);
      throw error;
    }
  }

  /** The measure of a pass that is slowed by its reader comes too late for steps that wait. */
  async contentDigest(id: SnapshotId, signal: AbortSignal): Promise<Digest> {
    const known = this.#row(id)?.contentDigest;
    if (known !== undefined) return known;
    const { contentDigest } = await this.#pack(id);
    signal.throwIfAborted();
    return contentDigest;
  }

  /** Ends all packing: the build has failed, and nothing waits for the layers. */
  stop(reason: unknown): void {
    this.#stop.abort(reason);
  }

  /** Waits for running work, so that nothing reads snapshots or writes rows after the store is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#running.values(), ...this.#passing.values()]);
  }

  #row(id: SnapshotId): SnapshotRow | undefined {
    return this.#deps.store.snapshots.get(id);
  }

  #pack(id: SnapshotId): Promise<LayerMeasure> {
    let running = this.#running.get(id);
    if (running === undefined) {
      running = this.#measure(id);
      this.#running.set(id, running);
    }
    return running;
  }

  async #measure(id: SnapshotId): Promise<LayerMeasure> {
    const { packPool } = this.#deps;
    const layer = this.#optionsOf(id);
    const measured = await timed("export", `measure layer ${id}`, () => packPool.measure(layer, this.#signal));
    this.#learn(id, measured);
    return measured;
  }

  #optionsOf(id: SnapshotId): PackOptions {
    const { store, snapshotter } = this.#deps;
    const { runs } = store.snapshots.get(id) ?? {};
    return { directory: snapshotter.pathOf(id), marks: snapshotter.marks, ...(runs === undefined ? {} : { runs }) };
  }

  #learn(id: SnapshotId, { diffId, sizeBytes: tarSizeBytes, contentDigest }: LayerMeasure): void {
    const { store } = this.#deps;
    // A layer from a registry keeps the diffID of its own tar, which its manifest names.
    const row = store.snapshots.get(id);
    store.snapshots.learn(id, row?.diffId === undefined ? { diffId, tarSizeBytes, contentDigest } : { contentDigest });
  }
}
