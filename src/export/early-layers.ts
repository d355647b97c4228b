import { debug } from "../../lib/core/debug.ts";
import { messageOf } from "../../lib/core/errors.ts";
import { Semaphore } from "../../lib/core/limits.ts";
import { parseReference } from "../../lib/core/reference.ts";
import type { RegistryClient } from "../../lib/registry/registry.ts";
import { originOf } from "../../lib/store/snapshot-id.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { LayerMeasure } from "../../lib/tar/measure.ts";
import { EarlyUpload } from "./early-uploads.ts";
import {
  blobContent,
  keepCompressed,
  type Layer,
  layerContent,
  type LayerForm,
  type LayerSources,
  writeCompressed,
} from "./layers.ts";
import { sendBlob } from "./registry-exporter.ts";

/** Limit of layers that are compressed and sent at a time, beside the steps that run. */
const AT_ONCE = 2;

/** A packer of layers that a build makes. */
export interface EarlyPacker {
  layer(
    id: SnapshotId,
    signal: AbortSignal,
  ): Promise<{ readonly diffId: LayerMeasure["diffId"]; readonly tarSizeBytes: number }>;
  /**
   * Lends the tar of a layer that nobody has measured, and measures it in the same pass.
   * @returns `undefined` for a layer that has been measured, or is being
   */
  packOnce<T>(
    id: SnapshotId,
    consume: (tar: AsyncIterable<Buffer>) => Promise<T>,
  ): Promise<{ readonly measure: LayerMeasure; readonly value: T } | undefined>;
}

/** The parts for making and sending layers. */
export interface EarlyParts extends LayerSources {
  /** Returns the client, made on first use. */
  readonly client: () => Promise<RegistryClient>;
  readonly packer: EarlyPacker;
}

/**
 * Layers of a build's image that are packed, compressed and sent while later steps still run. Their names and manifests
 * come at the end, so those of a build that fails then are bytes that nothing refers to; an upload that has not ended is
 * cancelled. After a failure here the exporter does it again, in the ordinary way, and reports.
 */
export class EarlyLayers implements AsyncDisposable {
  readonly #target: ReturnType<typeof parseReference>;
  readonly #form: LayerForm;
  readonly #deps: EarlyParts;
  readonly #work = new Map<SnapshotId, Promise<void>>();
  readonly #permits = new Semaphore(AT_ONCE);
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;

  /** @param name the reference with the repository for the blobs */
  constructor(name: string, form: LayerForm, deps: EarlyParts, signal: AbortSignal) {
    this.#target = parseReference(name);
    this.#form = form;
    this.#deps = deps;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
  }

  /** Begins with a layer that is certain to be in the image. Base layers are left to the exporter. */
  add(id: SnapshotId): void {
    if (this.#work.has(id) || originOf(id) === "image" || this.#signal.aborted) return;
    const work = this.#send(id).catch((error: unknown) => {
      debug("export", () => `layer ${id} was not sent early: ${messageOf(error)}`);
      // What one layer has met waits for the others too.
      this.stop(error);
    });
    this.#work.set(id, work);
  }

  /** Waits for all layers that were added: they are in the registry then, or were given up. */
  async settled(): Promise<void> {
    await Promise.all(this.#work.values());
  }

  /** Gives up what has not ended: the build has failed. */
  stop(reason: unknown): void {
    this.#stop.abort(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop(new Error("The build has ended"));
    await this.settled();
  }

  async #send(id: SnapshotId): Promise<void> {
    using _permit = await this.#permits.acquire(0, this.#signal);
    let upload: EarlyUpload | undefined;
    try {
      const { client, store } = this.#deps;
      const content = await this.#content(id, (blob) => {
        upload = new EarlyUpload(this.#target, blob, client, this.#signal);
      });
      const parts = { client: await client(), store, early: upload, onProgress: () => undefined };
      await sendBlob(this.#target, content, parts, this.#signal);
    } finally {
      await upload?.[Symbol.asyncDispose]();
    }
  }

  async #content(id: SnapshotId, onStart: Parameters<typeof writeCompressed>[2]["onStart"]): Promise<Layer> {
    const deps = { ...this.#deps, onStart };
    const { compression = "gzip" } = this.#form;
    if (compression !== "uncompressed") {
      const form = { ...this.#form, compression };
      const packed = await deps.packer.packOnce(id, (tar) => writeCompressed(tar, form, deps, this.#signal));
      if (packed !== undefined)
        return blobContent(keepCompressed(packed.measure.diffId, packed.value, form, deps), deps);
    }
    const { diffId, tarSizeBytes } = await deps.packer.layer(id, this.#signal);
    const sources = { ...deps, onCompress: (_: unknown, blob: Parameters<typeof onStart>[0]) => onStart(blob) };
    return layerContent({ diffId, tarSizeBytes, snapshot: id, origin: "built" }, this.#form, sources, this.#signal);
  }
}
