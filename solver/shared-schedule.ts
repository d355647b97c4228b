import type { Digest } from "../lib/core/digest.ts";
import { Semaphore } from "../lib/core/limits.ts";

/**
 * The schedule of several solves in one process: one limit of steps for all of them, so that the longest way of all goes
 * first, and every step once. The leases of the store see to that where the cache may be used; this sees to it for
 * steps that skip the cache as well.
 */
export class SharedSchedule {
  readonly slots: Semaphore;
  readonly #begun = new Set<Digest>();
  readonly #ran = new Set<Digest>();

  /** @param jobs limit of concurrent steps */
  constructor(jobs: number) {
    this.slots = new Semaphore(jobs);
  }

  /** Notes that one of the solves has the lease on a step. */
  begin(definitionKey: Digest): void {
    this.#begun.add(definitionKey);
  }

  hasBegun(definitionKey: Digest): boolean {
    return this.#begun.has(definitionKey);
  }

  /** Notes the recorded key of a step that has run. */
  ran(definitionKey: Digest): void {
    this.#ran.add(definitionKey);
  }

  /** Tells whether one of the solves has run a step, so that its record is as new as another run. */
  hasRun(definitionKey: Digest): boolean {
    return this.#ran.has(definitionKey);
  }
}
