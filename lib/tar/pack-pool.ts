import { Semaphore } from "../core/limits.ts";
import type { Native } from "../native/native.ts";
import { type LayerMeasure, measureLayer } from "./measure.ts";
import type { PackOptions } from "./pack.ts";

export interface PackPoolOptions {
  readonly native: Native;
  /** Layers at a time, two threads each; the thread pool of Node has four, which others need too. */
  readonly maxLayers: number;
}

const MOST_LAYERS = 3;

/** Measures layers beside whatever else is going on, a few at a time. */
export class PackPool {
  readonly #native: Native;
  readonly #permits: Semaphore;

  constructor({ native, maxLayers }: PackPoolOptions) {
    this.#native = native;
    this.#permits = new Semaphore(Math.min(MOST_LAYERS, Math.max(1, maxLayers)));
  }

  /** @throws {BuildError} `snapshot/failed` when a file cannot be read; the signal's reason when aborted. */
  async measure(options: PackOptions, signal: AbortSignal): Promise<LayerMeasure> {
    using _permit = await this.#permits.acquire(0, signal);
    return await measureLayer(this.#native, options, signal);
  }
}
