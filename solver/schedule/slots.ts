interface Waiting {
  readonly priority: number;
  readonly grant: () => void;
}

/** A fixed number of permits; whoever has the highest priority is next, and among equals whoever came first. */
export class Slots {
  #free: number;
  /** Highest priority first. */
  readonly #waiting: Waiting[] = [];

  constructor(count: number) {
    this.#free = Math.max(1, count);
  }

  /** Waits for a permit; disposing gives it back. @throws the signal's reason when aborted while waiting. */
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
        const next = this.#waiting.shift();
        if (next === undefined) this.#free += 1;
        else next.grant();
      },
    };
  }
}
