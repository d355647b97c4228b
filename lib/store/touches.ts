/**
 * How old the last recorded use must be before another one is written. Collection looks at hours and days, and this way
 * a build that only repeats what was done minutes ago writes nothing at all.
 */
const TOUCH_INTERVAL_MS = 10 * 60 * 1000;

/** Uses waiting to be written: the ids of rows of one table. */
export class Touches {
  readonly #nowMs: () => number;
  readonly #ids = new Set<string>();
  readonly #lastUsed = new Map<string, number>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Remembers the last use that a row has just been read with. */
  saw(id: string, lastUsedMs: number): void {
    this.#lastUsed.set(id, lastUsedMs);
  }

  touch(id: string): void {
    const last = this.#lastUsed.get(id);
    if (last === undefined || this.#nowMs() - last > TOUCH_INTERVAL_MS) this.#ids.add(id);
  }

  /** Hands over what is to be written, and forgets it. */
  take(): readonly string[] {
    const ids = [...this.#ids];
    const now = this.#nowMs();
    for (const id of ids) this.#lastUsed.set(id, now);
    this.#ids.clear();
    return ids;
  }
}
