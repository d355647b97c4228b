/**
 * Runs `work` over all items, at most `max` at a time, and returns the results in the order of the items. The first
 * failure aborts the signal given to the others, waits for them to stop, and is thrown.
 */
export async function mapLimit<T, R>(
  items: Iterable<T>,
  max: number,
  signal: AbortSignal,
  work: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  signal.throwIfAborted();
  const queue = [...items].entries();
  const results: R[] = [];
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  let failure: { readonly error: unknown } | undefined;
  const lane = async (): Promise<void> => {
    for (const [index, item] of queue) {
      if (inner.aborted) return;
      try {
        results[index] = await work(item, inner);
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, max) }, lane));
  if (failure !== undefined) throw failure.error;
  signal.throwIfAborted();
  return results;
}

interface Waiting {
  readonly priority: number;
  grant(): void;
}

/** A fixed number of permits. The waiter with the highest priority is next; among equals, the one that came first. */
export class Semaphore {
  #free: number;
  /** Waiters, highest priority first. */
  readonly #waiting: Waiting[] = [];

  constructor(count: number) {
    this.#free = Math.max(1, count);
  }

  /** True when a permit can be had without waiting. */
  get isFree(): boolean {
    return this.#free > 0;
  }

  /**
   * Waits for a permit; disposing gives it back.
   * @throws the signal's reason when aborted while waiting
   */
  async acquire(priority: number, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
      return this.#permit();
    }
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = {
        priority,
        grant: () => {
          signal.removeEventListener("abort", aborted);
          resolve();
        },
      };
      const aborted = (): void => {
        const at = this.#waiting.indexOf(waiting);
        if (at !== -1) this.#waiting.splice(at, 1);
        reject(signal.reason);
      };
      const at = this.#waiting.findIndex((other) => other.priority < priority);
      this.#waiting.splice(at === -1 ? this.#waiting.length : at, 0, waiting);
      signal.addEventListener("abort", aborted, { once: true });
    });
    return this.#permit();
  }

  #permit(): Disposable {
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        // Hand the permit straight to the next in line, so that no later caller can overtake.
        const next = this.#waiting.shift();
        if (next === undefined) this.#free += 1;
        else next.grant();
      },
    };
  }
}
