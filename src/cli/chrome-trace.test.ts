import { expect, test } from "vitest";
import { chromeTrace, type TraceSpan } from "./chrome-trace.ts";

const span = (name: string, startMs: number, endMs: number | undefined, group = "steps"): TraceSpan => ({
  ...{ group, name, startMs, endMs },
  details: {},
});

interface Shown {
  readonly ph: string;
  readonly tid: number;
  readonly name: string;
  readonly ts?: number;
  readonly dur?: number;
  readonly args: Readonly<Record<string, unknown>>;
}

function shown(spans: readonly TraceSpan[]): Shown[] {
  const text = chromeTrace(spans, { startMs: 100, endMs: 200, groups: ["engine", "steps"] });
  return (JSON.parse(text) as { readonly traceEvents: readonly Shown[] }).traceEvents.filter(({ ph }) => ph === "X");
}

/** Lists the row of each span, by name. */
function rows(spans: readonly TraceSpan[]): Record<string, number> {
  return Object.fromEntries(shown(spans).map(({ name, tid }) => [name, tid]));
}

test("times are microseconds since the beginning", () => {
  expect(shown([span("a", 100.0014, 102.5)])).toEqual([
    { ph: "X", pid: 1, tid: 1001, cat: "steps", name: "a", ts: 1, dur: 2499, args: {} },
  ]);
});

test.each([
  { name: "one after the other", spans: [span("a", 100, 110), span("b", 110, 120)], rows: { a: 1001, b: 1001 } },
  { name: "at the same time", spans: [span("a", 100, 110), span("b", 105, 120)], rows: { a: 1001, b: 1002 } },
  { name: "one inside the other", spans: [span("a", 100, 120), span("b", 105, 110)], rows: { a: 1001, b: 1001 } },
  { name: "the inner one told first", spans: [span("b", 100, 110), span("a", 100, 120)], rows: { a: 1001, b: 1001 } },
  {
    name: "one that goes on after the one around it",
    spans: [span("a", 100, 120), span("b", 105, 110), span("c", 106, 130), span("d", 110, 115)],
    rows: { a: 1001, b: 1001, c: 1002, d: 1001 },
  },
  { name: "in groups", spans: [span("a", 100, 110), span("b", 100, 110, "engine")], rows: { a: 1001, b: 1 } },
])("spans have rows: $name", ({ spans, rows: expected }) => {
  expect(rows(spans)).toEqual(expected);
});

test("a span that has not ended is marked and ends with the trace", () => {
  expect(shown([span("a", 150, undefined)])).toMatchObject([{ ts: 50_000, dur: 50_000, args: { unfinished: "yes" } }]);
});

test("rows are named, each once", () => {
  const text = chromeTrace([span("a", 100, 110), span("b", 105, 120)], { startMs: 0, endMs: 1, groups: ["steps"] });
  const { traceEvents } = JSON.parse(text) as { readonly traceEvents: readonly Shown[] };
  const names = traceEvents.filter(({ name }) => name === "thread_name");
  expect(names.map(({ tid, args }) => [tid, args["name"]])).toEqual([
    [1, "steps"],
    [2, "steps (2)"],
  ]);
});
