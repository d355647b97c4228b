/** A stretch of time, on the clock of `performance.now()`. */
export interface TraceSpan {
  /** Group; its spans are shown together. */
  readonly group: string;
  readonly name: string;
  readonly startMs: number;
  /** `undefined` for a span that was still open at the end of the trace. */
  endMs: number | undefined;
  readonly details: Record<string, string | number>;
}

/** A span with an end, and the row that shows it. */
interface PlacedSpan {
  readonly span: TraceSpan;
  readonly endMs: number;
  readonly row: number;
}

/** Offset between the rows of two groups. */
const ROWS = 1000;

/**
 * Writes spans in the trace event format that browsers and Perfetto open (complete events, times in microseconds).
 * Overlapping spans get rows of their own, because a partial overlap would be drawn wrongly.
 * @param about `startMs` and `endMs`: the traced time; open spans end with it
 */
export function chromeTrace(
  spans: readonly TraceSpan[],
  about: { readonly startMs: number; readonly endMs: number; readonly groups: readonly string[] },
): string {
  const events: object[] = [{ ph: "M", pid: 1, tid: 0, name: "process_name", args: { name: "kiln" } }];
  about.groups.forEach((group, index) => {
    const placed = inRows(spans.filter((span) => span.group === group).map((span) => ended(span, about.endMs)));
    const rows = Math.max(0, ...placed.map(({ row }) => row + 1));
    for (let row = 0; row < rows; row += 1) {
      const tid = index * ROWS + row + 1;
      const name = row === 0 ? group : `${group} (${row + 1})`;
      events.push({ ph: "M", pid: 1, tid, name: "thread_name", args: { name } });
      events.push({ ph: "M", pid: 1, tid, name: "thread_sort_index", args: { sort_index: tid } });
    }
    for (const { span, endMs, row } of placed) {
      events.push({
        ph: "X",
        pid: 1,
        tid: index * ROWS + row + 1,
        cat: group,
        name: span.name,
        ts: microseconds(span.startMs - about.startMs),
        dur: microseconds(endMs - span.startMs),
        args: span.endMs === undefined ? { ...span.details, unfinished: "yes" } : span.details,
      });
    }
  });
  return `${JSON.stringify({ displayTimeUnit: "ms", traceEvents: events })}\n`;
}

const microseconds = (milliseconds: number): number => Math.round(milliseconds * 1000);

function ended(span: TraceSpan, lastMs: number): Omit<PlacedSpan, "row"> {
  return { span, endMs: Math.max(span.startMs, span.endMs ?? lastMs) };
}

/** Puts each span into the first row where it follows all others or lies inside the open one. */
function inRows(spans: readonly Omit<PlacedSpan, "row">[]): PlacedSpan[] {
  /** Ends of the open spans of each row, outermost first. */
  const open: number[][] = [];
  // Of two that begin together the longer one is outside.
  const inOrder = spans.toSorted((a, b) => a.span.startMs - b.span.startMs || b.endMs - a.endMs);
  return inOrder.map(({ span, endMs }) => {
    const fits = (ends: number[]): boolean => {
      while (ends.length > 0 && (ends.at(-1) ?? 0) <= span.startMs) ends.pop();
      return endMs <= (ends.at(-1) ?? Number.POSITIVE_INFINITY);
    };
    const free = open.findIndex(fits);
    const row = free === -1 ? open.push([]) - 1 : free;
    open[row]?.push(endMs);
    return { span, endMs, row };
  });
}
