/**
 * Minimum age of the last recorded use before another one is written. Collection looks at hours and days, and so a
 * build that repeats another one minutes later writes nothing at all.
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

  /** Remembers a row's recorded last use. */
  saw(id: string, lastUsedMs: number): void {
    this.#lastUsed.set(id, lastUsedMs);
  }

  touch(id: string): void {
    const last = this.#lastUsed.get(id);
    if (last === undefined || this.#nowMs() - last > TOUCH_INTERVAL_MS) this.#ids.add(id);
  }

  /** Returns the ids to write, and forgets them. */
  take(): readonly string[] {
    const ids = [...this.#ids];
    const now = this.#nowMs();
    for (const id of ids) this.#lastUsed.set(id, now);
    this.#ids.clear();
    return ids;
  }
}
