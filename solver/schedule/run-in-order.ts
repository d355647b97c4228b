/** A piece of work and the ids of the work it depends on. Ids outside the given work are not waited for. */
export interface Work {
  readonly id: string;
  readonly needs: readonly string[];
}

/**
 * Runs every piece once, as soon as its dependencies are done; `run` itself limits concurrency. The first failure
 * aborts the signal of the others, waits for them to stop, and is thrown. Without recursion, so that a chain may have
 * any length.
 */
export async function runInOrder<W extends Work>(
  works: ReadonlyMap<string, W>,
  run: (work: W, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const missing = new Map<string, number>();
  const users = new Map<string, W[]>();
  const ready: W[] = [];
  for (const work of works.values()) {
    const needs = new Set(work.needs.filter((id) => works.has(id)));
    if (needs.size === 0) ready.push(work);
    else missing.set(work.id, needs.size);
    for (const id of needs) {
      const list = users.get(id);
      if (list === undefined) users.set(id, [work]);
      else list.push(work);
    }
  }
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const { promise, resolve } = Promise.withResolvers<void>();
  let running = 0;
  let failure: { readonly error: unknown } | undefined;

  const finished = (work: W): void => {
    running -= 1;
    if (failure === undefined && !inner.aborted) {
      for (const user of users.get(work.id) ?? []) {
        const left = (missing.get(user.id) ?? 0) - 1;
        missing.set(user.id, left);
        if (left === 0) start(user);
      }
    }
    if (running === 0) resolve();
  };
  const failed = (error: unknown): void => {
    running -= 1;
    failure ??= { error };
    stop.abort(error);
    if (running === 0) resolve();
  };
  const start = (work: W): void => {
    running += 1;
    run(work, inner).then(() => finished(work), failed);
  };

  if (ready.length > 0) {
    // All are counted before the first can finish, because `run` is asynchronous.
    for (const work of ready) start(work);
    await promise;
  }
  signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
}
