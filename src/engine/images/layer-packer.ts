import type { Digest } from "../../../lib/core/digest.ts";
import type { LayerMeasure } from "../../../lib/tar/measure.ts";
import type { PackOptions } from "../../../lib/tar/pack.ts";
import type { SnapshotId, SnapshotRow } from "../../../lib/store/model.ts";
import type { Store } from "../../../lib/store/store.ts";
import type { ContentDigests, Snapshotter } from "../../../solver/ports.ts";

/** What packing a layer tells; kept in the snapshot's row. */
export interface PackedLayer {
  readonly diffId: Digest;
  readonly tarSizeBytes: number;
}

export interface LayerPackerDeps {
  readonly store: Store;
  readonly snapshotter: Snapshotter;
  /** One pass over a directory, on a thread of its own where that is worth it. */
  readonly measure: (options: PackOptions, signal: AbortSignal) => Promise<LayerMeasure>;
}

/**
 * Turns snapshots into layers, each once per build: a pass over the files gives diffID, size and content digest, and
 * the bytes go nowhere. Started as soon as a step commits, it runs beside the next steps.
 */
export class LayerPacker implements ContentDigests {
  readonly #on: LayerPackerDeps;
  readonly #running = new Map<SnapshotId, Promise<LayerMeasure>>();
  /** Ends packing that nobody waits for when the build is over. */
  readonly #signal: AbortSignal;

  constructor(on: LayerPackerDeps, signal: AbortSignal) {
    this.#on = on;
    this.#signal = signal;
  }

  /** Begins in the background. A failure is told to whoever asks for the result. */
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

  /** Waits for what was started, so that nothing reads snapshots or writes rows after the store is closed. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#running.values());
  }

  #row(id: SnapshotId): SnapshotRow | undefined {
    return this.#on.store.snapshots.get(id);
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
    const { store, snapshotter, measure } = this.#on;
    const { runs } = store.snapshots.get(id) ?? {};
    const measured = await measure({ directory: snapshotter.pathOf(id), marks: snapshotter.marks, runs }, this.#signal);
    const { diffId, sizeBytes: tarSizeBytes, contentDigest } = measured;
    // A layer that came from a registry keeps the diffID of its own tar, which is what its manifest names.
    const row = store.snapshots.get(id);
    store.snapshots.learn(id, row?.diffId === undefined ? { diffId, tarSizeBytes, contentDigest } : { contentDigest });
    return measured;
  }
}
