import { expect, test } from "vitest";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { summarize } from "./summary.ts";
import { summaryMarkdown } from "./summary-markdown.ts";
import { summaryTable } from "./summary-table.ts";
import { textWidth } from "./width.ts";

const T = 1_700_000_000_000;

const EVENTS: readonly ProgressEvent[] = [
  {
    kind: "plan",
    id: "build",
    outputs: 1,
    atMs: T,
    steps: [
      { id: "from", name: "[1/4] FROM debian", inputs: [] },
      { id: "run", name: "[2/4] RUN make | tee <日本語> `x`", inputs: ["from"] },
      { id: "copy", name: "[3/4] COPY a b", inputs: ["run"] },
      { id: "last", name: "[4/4] RUN last", inputs: ["copy"] },
    ],
  },
  { kind: "step-started", id: "from", name: "[1/4] FROM debian", atMs: T },
  { kind: "status", id: "from", item: "sha256:1", current: 5000, total: 5000, unit: "bytes", done: true, atMs: T },
  { kind: "status", id: "from", item: "extracting 1", current: 5000, total: 5000, unit: "bytes", done: true, atMs: T },
  { kind: "step-done", id: "from", atMs: T + 2000 },
  { kind: "step-miss", id: "run", name: "", reason: "ARG V changed", concerns: "step" },
  { kind: "step-started", id: "run", name: "[2/4] RUN make | tee <日本語> `x`", atMs: T + 2000 },
  {
    kind: "step-done",
    id: "run",
    atMs: T + 5000,
    usage: { cpuMs: 2500, peakMemoryBytes: 7_000_000, writtenBytes: 300 },
  },
  { kind: "step-cached", id: "copy", name: "[3/4] COPY a b", atMs: T + 5000 },
  { kind: "notice", level: "warning", message: "a [link](http://x) <b>", hint: undefined },
];

function summaryOf(outcome: "success" | "failure"): ReturnType<ReturnType<typeof summarize>["end"]> {
  let now = T;
  const book = summarize(() => now);
  for (const event of EVENTS) book.sink(event);
  now = T + 6000;
  return book.end(outcome);
}

test("a summary has every planned step, with its reason, time and resources", () => {
  const { steps, wallMs, warnings } = summaryOf("failure");
  expect(steps.map(({ how, why, wallMs: ms, transferredBytes }) => [how, why, ms, transferredBytes])).toEqual([
    ["ran", undefined, 2000, 5000],
    ["ran", "ARG V changed", 3000, 0],
    ["cached", undefined, 0, 0],
    ["not-run", undefined, 0, 0],
  ]);
  expect([wallMs, warnings.length]).toEqual([6000, 1]);
});

test.each([40, 80, 200])("the table fits a window of %i columns", (columns) => {
  const lines = summaryTable(summaryOf("failure"), columns);
  expect(Math.max(...lines.map(textWidth))).toBeLessThanOrEqual(columns);
  if (columns !== 200) return;
  expect(lines).toEqual(
    [
      "STEP                               CACHED, OR WHY NOT  WALL   CPU  MEMORY  BYTES",
      "[1/4] FROM debian                  pulled              2.0s                  5kB",
      "[2/4] RUN make | tee <日本語> `x`  ARG V changed       3.0s  2.5s     7MB   300B",
      "[3/4] COPY a b                     cached",
      "[4/4] RUN last                     not run",
      "4 steps                            1 cached            6.0s  2.5s     7MB  5.3kB",
    ].map((line) => line),
  );
});

test("as Markdown it has no markup of others", () => {
  const text = summaryMarkdown(summaryOf("success"));
  expect(text).toContain("### Build succeeded in 6.0s");
  expect(text).toContain(
    String.raw`| \[2/4\] RUN make \| tee &lt;日本語&gt; \`x\` | ARG V changed | 3.0s | 2.5s | 7MB | 300B |`,
  );
  expect(text).toContain(String.raw`- a \[link\]\(http\://x\) &lt;b&gt;`);
});
