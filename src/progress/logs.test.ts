import { expect, test } from "vitest";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { foldMarks } from "./folds.ts";
import { createProgress, type ProgressMode } from "./progress.ts";

const T = 1_700_000_000_000;
const ID = (letter: string): string => `sha256:${letter.repeat(64)}`;

/** Returns the output of a display for some events, at their time. */
function shown(
  mode: ProgressMode,
  events: readonly ProgressEvent[],
  { env = {}, outcome = "success" }: { env?: Record<string, string>; outcome?: "success" | "failure" } = {},
): string {
  let text = "";
  let now = T;
  const display = createProgress(mode, {
    write: (piece) => {
      text += piece;
    },
    size: () => ({ columns: 80, rows: 24 }),
    colors: false,
    logLines: 2,
    rewraps: true,
    folds: foldMarks(env),
    nowMs: () => now,
    every: () => ({ [Symbol.dispose]: () => {} }),
  });
  for (const event of events) {
    if ("atMs" in event) now = event.atMs;
    display.sink(event);
  }
  display.finish(outcome);
  return text;
}

/** Two stages at one time and a step that needs both; the second one has ended first. */
const PARALLEL: readonly ProgressEvent[] = [
  { kind: "step-started", id: "load", name: "[internal] load", atMs: T },
  { kind: "step-done", id: "load", atMs: T + 10 },
  {
    kind: "plan",
    id: "build",
    atMs: T + 10,
    outputs: 1,
    steps: [
      { id: ID("a"), name: "[a 1/1] RUN a", stage: "a", inputs: [] },
      { id: ID("b"), name: "[b 1/1] RUN b", stage: "b", inputs: [] },
      { id: ID("c"), name: "[2/2] COPY --from=a . .", inputs: [ID("a"), ID("b")] },
    ],
  },
  { kind: "step-started", id: ID("b"), name: "[b 1/1] RUN b", atMs: T + 20 },
  { kind: "step-started", id: ID("a"), name: "[a 1/1] RUN a", atMs: T + 20 },
  { kind: "log", id: ID("b"), stream: "stdout", data: "b1\n", atMs: T + 30 },
  { kind: "log", id: ID("a"), stream: "stderr", data: "a1\n", atMs: T + 30 },
  { kind: "log", id: ID("b"), stream: "stdout", data: "b2", atMs: T + 40 },
  { kind: "step-done", id: ID("b"), atMs: T + 50, usage: { cpuMs: 7, peakMemoryBytes: 1000 } },
  { kind: "log", id: ID("a"), stream: "stdout", data: "a2\n", atMs: T + 1000 },
  { kind: "step-done", id: ID("a"), atMs: T + 1020 },
  { kind: "step-cached", id: ID("c"), name: "[2/2] COPY --from=a . .", atMs: T + 1030 },
  { kind: "step-started", id: "exporting to image", name: "exporting to image", atMs: T + 1040 },
  { kind: "step-done", id: "exporting to image", atMs: T + 1050 },
  {
    kind: "output",
    id: "exporting to image",
    atMs: T + 1050,
    output: {
      kind: "image",
      place: "in the local store",
      names: ["docker.io/library/app:1"],
      imageId: ID("1"),
      digest: ID("2"),
      sizeBytes: 1_200_000,
      layers: 3,
      platforms: 1,
    },
  },
];

test("plain-in-order: steps follow the Dockerfile, each with all its lines, and the result stands last", () => {
  expect(shown("plain-in-order", PARALLEL)).toBe(`#1 [internal] load
#1 DONE 0.0s

#2 [a 1/1] RUN a
#2 0.010 a1
#2 0.980 a2
#2 DONE 1.0s

#3 [b 1/1] RUN b
#3 0.010 b1
#3 0.020 b2
#3 DONE 0.0s

#4 [2/2] COPY --from=a . .
#4 CACHED

#5 exporting to image
#5 DONE 0.0s

app:1 in the local store
  id     ${ID("1")}
  digest ${ID("2")}
  size   1.2MB in 3 layers
`);
});

test("plain-in-order: what waits is shown when the build fails before its turn", () => {
  const failed: readonly ProgressEvent[] = [
    ...PARALLEL.slice(0, 8),
    { kind: "step-failed", id: ID("b"), message: "exit code: 1", atMs: T + 50 },
    { kind: "step-cancelled", id: ID("a"), atMs: T + 60 },
  ];
  const text = shown("plain-in-order", failed, { outcome: "failure" });
  expect(text).toContain("#2 0.010 a1\n#2 CANCELED\n");
  expect(text).toContain("#3 0.010 b1\n#3 0.020 b2\n#3 ERROR: exit code: 1\n");
  expect(text).not.toContain("app:1");
});

test("plain-in-order: a build that starts over does not wait for steps of its first plan", () => {
  const [load, loaded, plan, ...rest] = PARALLEL;
  if (load === undefined || loaded === undefined || plan?.kind !== "plan") throw new Error("The events are others");
  const first = { ...plan, steps: [{ id: ID("f"), name: "FROM old", inputs: [] }, ...plan.steps] };
  const before = { kind: "step-started", id: "late", name: "late", atMs: T } as const;
  const text = shown("plain-in-order", [load, loaded, first, plan, ...rest, before]);
  expect(text.indexOf("#3 [a 1/1]")).toBeGreaterThan(0);
  expect(text.indexOf("#3 DONE")).toBeLessThan(text.indexOf("#4 [b 1/1]"));
});

test.each([
  { env: { GITHUB_ACTIONS: "true" }, open: "::group::#2 [a 1/1] RUN a\n", close: "::endgroup::\n#2 DONE 1.0s" },
  {
    env: { GITLAB_CI: "true" },
    open: "\u001b[0Ksection_start:1700000001:kiln_step_2[collapsed=true]\r\u001b[0K#2 [a 1/1] RUN a\n",
    close: "\u001b[0Ksection_end:1700000001:kiln_step_2\r\u001b[0K\n#2 DONE 1.0s",
  },
  { env: { BUILDKITE: "true" }, open: "--- #2 [a 1/1] RUN a\n", close: "#2 0.980 a2\n#2 DONE 1.0s" },
])("in the log of a CI service a step is a section, and its outcome stands below: $env", ({ env, open, close }) => {
  const text = shown(
    "plain-in-order",
    PARALLEL.map((event) => ("atMs" in event ? { ...event, atMs: Math.max(event.atMs, T + 1000) } : event)),
    { env },
  ).replaceAll("#2 0.000", "#2 0.980");
  expect(text).toContain(open);
  expect(text).toContain(close.replace("1.0s", "0.0s"));
  expect(text).toContain("\n#4 [2/2] COPY --from=a . .\n#4 CACHED\n");
});

test("rawjson: the lines are BuildKit's: vertexes, statuses, logs and warnings", () => {
  const events: readonly ProgressEvent[] = [
    ...PARALLEL.slice(2, 9),
    { kind: "status", id: ID("c"), item: "layer", current: 5, total: 9, unit: "bytes", done: false, atMs: T + 1 },
    { kind: "status", id: ID("c"), item: "layer", current: 9, total: 9, unit: "bytes", done: true, atMs: T + 2 },
    { kind: "step-failed", id: ID("a"), message: "exit code: 1", atMs: T + 60 },
    { kind: "step-cached", id: ID("c"), name: "[2/2] COPY --from=a . .", atMs: T + 70 },
    { kind: "notice", level: "warning", message: "beware", hint: "of this" },
    { kind: "status", id: ID("c"), item: ID("f"), current: 0, total: 9, unit: "bytes", done: false, atMs: T + 80 },
    {
      kind: "finding",
      id: "load",
      finding: {
        rule: "R",
        message: "is so",
        description: "is bad",
        url: "https://x",
        file: "Dockerfile",
        lines: [2, 3],
      },
      atMs: T + 80,
    },
  ];
  const lines = shown("rawjson", events).trimEnd().split("\n");
  const at = (ms: number): string => new Date(T + ms).toISOString();
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const c = { digest: ID("c"), inputs: [ID("a"), ID("b")], name: "[2/2] COPY --from=a . ." };
  const a = { digest: ID("a"), name: "[a 1/1] RUN a" };
  const b = { digest: ID("b"), name: "[b 1/1] RUN b" };
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { vertexes: [a, b, c] },
    { vertexes: [{ ...b, started: at(20) }] },
    { vertexes: [{ ...a, started: at(20) }] },
    { logs: [{ vertex: ID("b"), stream: 1, data: base64("b1\n"), timestamp: at(30) }] },
    { logs: [{ vertex: ID("a"), stream: 2, data: base64("a1\n"), timestamp: at(30) }] },
    { logs: [{ vertex: ID("b"), stream: 1, data: base64("b2"), timestamp: at(40) }] },
    { vertexes: [{ ...b, started: at(20), completed: at(50) }] },
    { statuses: [{ id: "layer", vertex: ID("c"), total: 9, current: 5, timestamp: at(1), started: at(1) }] },
    {
      statuses: [
        { id: "layer", vertex: ID("c"), total: 9, current: 9, timestamp: at(2), started: at(1), completed: at(2) },
      ],
    },
    { vertexes: [{ ...a, started: at(20), completed: at(60), error: "exit code: 1" }] },
    { vertexes: [{ ...c, started: at(70), completed: at(70), cached: true }] },
    { warnings: [expect.objectContaining({ level: 1, short: base64("beware"), detail: [base64("of this")] })] },
    {
      statuses: [
        { id: ID("f"), vertex: ID("c"), name: "downloading", total: 9, current: 0, timestamp: at(80), started: at(80) },
      ],
    },
    {
      warnings: [
        {
          vertex: expect.stringMatching(/^sha256:/),
          level: 1,
          short: base64("R: is so (line 2)"),
          detail: [base64("is bad")],
          url: "https://x",
          sourceInfo: { filename: "Dockerfile", language: "Dockerfile" },
          range: [{ start: { line: 2 }, end: { line: 3 } }],
        },
      ],
    },
  ]);
});
