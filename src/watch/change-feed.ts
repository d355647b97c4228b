import { setTimeout as wait } from "node:timers/promises";

/** Changed paths that belong together: one save, or one checkout. */
export interface Changes {
  /** Absolute paths in the order in which they were told; at most MAX_NAMED of them. */
  readonly paths: readonly string[];
  /** Number of changes. */
  readonly count: number;
}

/** Limit of paths that are kept by name. */
const MAX_NAMED = 1000;
/** A save is two or three events within a millisecond or two. */
const QUIET_MS = 8;
/** More paths than these are no save by hand but a checkout, which goes on for a while. */
const BURST = 40;
const QUIET_AFTER_BURST_MS = 100;
/** Limit of the wait for quiet: a tree that never rests is built all the same. */
const MAX_WAIT_MS = 2000;

/** Gathers changes until it is quiet. */
export class ChangeFeed {
  #paths = new Set<string>();
  #count = 0;
  #events = 0;
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  readonly add = (path: string): void => {
    this.#events += 1;
    if (this.#paths.has(path)) return;
    this.#count += 1;
    if (this.#paths.size < MAX_NAMED) this.#paths.add(path);
    this.#wake?.();
  };

  /** Ends the waiting with an error that happened outside of it. */
  readonly fail = (error: unknown): void => {
    this.#failure ??= { error };
    this.#wake?.();
  };

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Waits for the next change, and then until no more come. Rejected when the signal is aborted, and by `fail`. */
  async next(signal: AbortSignal): Promise<Changes> {
    await this.#first(signal);
    this.#throwFailure();
    for (let waitedMs = 0, seen = -1; seen !== this.#events && waitedMs < MAX_WAIT_MS;) {
      seen = this.#events;
      const pauseMs = this.#count > BURST ? QUIET_AFTER_BURST_MS : QUIET_MS;
      await wait(pauseMs, undefined, { signal });
      waitedMs += pauseMs;
    }
    this.#throwFailure();
    const changes = { paths: [...this.#paths], count: this.#count };
    this.#paths = new Set();
    this.#count = 0;
    return changes;
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #first(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.isEmpty || this.#failure !== undefined) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const stop = (): void => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    try {
      await promise;
    } finally {
      this.#wake = undefined;
      signal.removeEventListener("abort", stop);
    }
  }
}
