/** A stretch of work, and what it waited for. */
export interface TimedWork {
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
  readonly needs: readonly number[];
  /** True for work outside the graph of steps: it has no needs of its own, and waits for what was before it. */
  readonly isApart: boolean;
}

/**
 * Finds the critical path: from the work that ended last back along the dependencies, each time to the one that ended
 * last, since that is what was waited for. Work outside the graph, such as the export, follows what ended before it began.
 * @returns indexes, first to last
 */
export function criticalPath(work: readonly TimedWork[]): readonly number[] {
  const path: number[] = [];
  const seen = new Set<number>();
  let at = lastOf(work, work.keys());
  while (at !== undefined && !seen.has(at)) {
    seen.add(at);
    path.push(at);
    at = beforeOf(work, at, seen);
  }
  return path.toReversed();
}

function beforeOf(work: readonly TimedWork[], at: number, seen: ReadonlySet<number>): number | undefined {
  const { needs, isApart, startMs } = work[at] ?? { needs: [], isApart: true, startMs: undefined };
  const needed = isApart ? undefined : lastOf(work, needs);
  if (needed !== undefined) return needed;
  if (startMs === undefined) return undefined;
  const earlier = [...work.entries()].flatMap(([index, one]) => {
    const isBefore = one.endMs !== undefined && one.endMs <= startMs + CLOCK_MS && !seen.has(index);
    // A step without needs follows only work that is outside the graph as well, such as the loading of the context.
    return isBefore && (isApart || one.isApart) ? [index] : [];
  });
  return lastOf(work, earlier);
}

/** Grain of the times. */
const CLOCK_MS = 0.1;

/** Returns the index of the work that ended last; of several the longest. */
function lastOf(work: readonly TimedWork[], indexes: Iterable<number>): number | undefined {
  let last: { readonly index: number; readonly endMs: number; readonly startMs: number } | undefined;
  for (const index of indexes) {
    const { endMs, startMs } = work[index] ?? {};
    if (endMs === undefined || startMs === undefined) continue;
    const isLater = last === undefined || endMs > last.endMs || (endMs === last.endMs && startMs < last.startMs);
    if (isLater) last = { index, endMs, startMs };
  }
  return last?.index;
}
