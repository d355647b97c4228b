import { Semaphore } from "../core/limits.ts";
import type { Native } from "../native/native.ts";
import { type LayerMeasure, measureLayer } from "./measure.ts";
import type { PackOptions } from "./pack.ts";

export interface PackPoolOptions {
  readonly native: Native;
  /** Limit of concurrent layers, two threads each; Node's thread pool has four, which others need too. */
  readonly maxLayers: number;
}

const MOST_LAYERS = 3;

/** A pool that measures a few layers concurrently, beside other work. */
export class PackPool {
  readonly #native: Native;
  readonly #permits: Semaphore;

  constructor({ native, maxLayers }: PackPoolOptions) {
    this.#native = native;
    this.#permits = new Semaphore(Math.min(MOST_LAYERS, Math.max(1, maxLayers)));
  }

  /**
   * Measures a layer.
   * @throws {BuildError} `snapshot/failed` when a file cannot be read; the signal's reason when aborted
   */
  async measure(options: PackOptions, signal: AbortSignal): Promise<LayerMeasure> {
    using _permit = await this.#permits.acquire(0, signal);
    return await measureLayer(this.#native, options, signal);
  }
}
