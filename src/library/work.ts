import type { ProgressEvent, ProgressSink } from "../../lib/core/progress.ts";

/**
 * Running work: a promise of its result and an iterable of its progress. It has begun, whether it is iterated or not; events
 * are kept for the first iteration, and each event is given once.
 */
export interface Work<T> extends Promise<T>, AsyncIterable<ProgressEvent> {}

/**
 * Starts work at once. An iteration ends with the work, and throws its error; the error then needs no second handler.
 * @param begin must not throw before its first wait
 */
export function startWork<T>(begin: (progress: ProgressSink) => Promise<T>): Work<T> {
  const events = new EventQueue();
  const result = settling(begin, events);
  return Object.assign(result, {
    async *[Symbol.asyncIterator](): AsyncGenerator<ProgressEvent, void> {
      // Told by the iteration.
      result.catch(() => undefined);
      yield* events.drain();
    },
  });
}

async function settling<T>(begin: (progress: ProgressSink) => Promise<T>, events: EventQueue): Promise<T> {
  try {
    const value = await begin((event) => events.add(event));
    events.end(undefined);
    return value;
  } catch (error) {
    events.end({ error });
    throw error;
  }
}

/** Limit of kept events: work that is only awaited must not collect the output of a long build. */
const MAX_KEPT = 10_000;

/** A queue between the work and its iteration. Once it is iterated, nothing is dropped. */
class EventQueue {
  #waiting: ProgressEvent[] = [];
  #isIterated = false;
  #end: { readonly failure: { readonly error: unknown } | undefined } | undefined;
  #wake: (() => void) | undefined;

  add(event: ProgressEvent): void {
    if (!this.#isIterated && this.#waiting.length >= MAX_KEPT) this.#waiting.splice(0, MAX_KEPT / 10);
    this.#waiting.push(event);
    this.#wake?.();
  }

  end(failure: { readonly error: unknown } | undefined): void {
    this.#end = { failure };
    this.#wake?.();
  }

  async *drain(): AsyncGenerator<ProgressEvent, void> {
    this.#isIterated = true;
    for (;;) {
      const batch = this.#waiting;
      this.#waiting = [];
      yield* batch;
      if (this.#waiting.length > 0) continue;
      if (this.#end !== undefined) break;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
      this.#wake = undefined;
    }
    if (this.#end.failure !== undefined) throw this.#end.failure.error;
  }
}
