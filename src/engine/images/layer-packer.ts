import { timed } from "../../../lib/core/debug.ts";
import type { Digest } from "../../../lib/core/digest.ts";
import type { LayerMeasure } from "../../../lib/tar/measure.ts";
import type { PackPool } from "../../../lib/tar/pack-pool.ts";
import type { SnapshotId, SnapshotRow } from "../../../lib/store/model.ts";
import type { Store } from "../../../lib/store/store.ts";
import type { ContentDigests, Snapshotter } from "../../../solver/ports.ts";

/** The result of packing a layer; kept in the snapshot's row. */
export interface PackedLayer {
  readonly diffId: Digest;
  readonly tarSizeBytes: number;
}

export interface LayerPackerDeps {
  readonly store: Pick<Store, "snapshots">;
  readonly snapshotter: Pick<Snapshotter, "pathOf" | "marks">;
  readonly packPool: Pick<PackPool, "measure">;
}

/**
 * A packer of snapshots into layers, each once per build: one pass over the files gives diffID, size and content
 * digest, and the bytes are discarded. It starts as soon as a step commits, and runs beside the next steps.
 */
export class LayerPacker implements ContentDigests, AsyncDisposable {
  readonly #deps: LayerPackerDeps;
  readonly #running = new Map<SnapshotId, Promise<LayerMeasure>>();
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
    const { diffId, sizeBytes } = await this.#pack(id);
    signal.throwIfAborted();
    return { diffId, tarSizeBytes: sizeBytes };
  }

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
    await Promise.allSettled(this.#running.values());
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
    const { store, snapshotter, packPool } = this.#deps;
    const { runs } = store.snapshots.get(id) ?? {};
    const layer = { directory: snapshotter.pathOf(id), marks: snapshotter.marks, runs };
    const measured = await timed("export", `measure layer ${id}`, () => packPool.measure(layer, this.#signal));
    const { diffId, sizeBytes: tarSizeBytes, contentDigest } = measured;
    // A layer from a registry keeps the diffID of its own tar, which its manifest names.
    const row = store.snapshots.get(id);
    store.snapshots.learn(id, row?.diffId === undefined ? { diffId, tarSizeBytes, contentDigest } : { contentDigest });
    return measured;
  }
}
