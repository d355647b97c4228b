import { expect, test } from "vitest";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { type ProgressMode, createProgress } from "./progress.ts";
import { formatBytes } from "./step-book.ts";

const T = 1_700_000_000_000;

/** Returns the output of a display for some events, at their time. */
function shown(mode: ProgressMode, events: readonly ProgressEvent[], size = { columns: 60, rows: 24 }): string {
  let text = "";
  let now = T;
  let tick = (): void => {};
  const display = createProgress(mode, {
    write: (piece) => {
      text += piece;
    },
    size: () => size,
    colors: false,
    logLines: 2,
    rewraps: true,
    nowMs: () => now,
    every: (_, draw) => {
      tick = draw;
      return { [Symbol.dispose]: () => {} };
    },
  });
  for (const event of events) {
    if ("atMs" in event) now = event.atMs;
    display.sink(event);
  }
  tick();
  display.finish("success");
  return text;
}

/** Takes out what a frame is drawn with. */
function textOf(frame: string): string {
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is looked for
  return frame.replaceAll(/\u001b\[(?:\?25[lh]|\d+A\r|[JK])/g, "");
}

const STEP: readonly ProgressEvent[] = [
  { kind: "step-miss", id: "a", name: "[1/2] RUN make", reason: "never built here", concerns: "build" },
  { kind: "step-started", id: "a", name: "[1/2] RUN make", atMs: T },
  { kind: "log", id: "a", stream: "stdout", data: "one\ntw", atMs: T + 312 },
  { kind: "log", id: "a", stream: "stdout", data: "o\nend", atMs: T + 400 },
  { kind: "step-done", id: "a", atMs: T + 500 },
  { kind: "step-cached", id: "b", name: "[2/2] COPY a b", atMs: T + 510 },
];

test("plain: a step has its name, the reason it runs, its output with times, and how it ended", () => {
  expect(shown("plain", STEP)).toMatchInlineSnapshot(`
    "#1 [1/2] RUN make
    #1 why: never built here
    #1 0.312 one
    #1 0.400 two
    #1 0.400 end
    #1 DONE 0.5s

    #2 [2/2] COPY a b
    #2 CACHED

    "
  `);
});

test.each(["plain", "tty"] as const)(
  "%s: what a build as a whole lacks is said once, what one step lacks of each",
  (mode) => {
    const missed = (id: string, reason: string, concerns: "build" | "step"): readonly ProgressEvent[] => [
      { kind: "step-miss", id, name: `RUN ${id}`, reason, concerns },
      { kind: "step-started", id, name: `RUN ${id}`, atMs: T },
      { kind: "step-done", id, atMs: T },
    ];
    const text = shown(mode, [
      ...missed("a", "never built here", "build"),
      ...missed("b", "never built here", "build"),
      ...missed("c", "ARG V changed", "step"),
      ...missed("d", "ARG V changed", "step"),
    ]);
    const last = textOf(text.slice(text.lastIndexOf("[+]")));
    expect((mode === "tty" ? last : text).match(/why: .*/g)).toEqual([
      "why: never built here",
      "why: ARG V changed",
      "why: ARG V changed",
    ]);
  },
);

test("plain: lines of one step stay together while it talks, and an interrupted step says so", () => {
  const events: ProgressEvent[] = [
    { kind: "step-started", id: "a", name: "RUN a", atMs: T },
    { kind: "step-started", id: "b", name: "RUN b", atMs: T },
    { kind: "log", id: "a", stream: "stdout", data: "a1\n", atMs: T + 10 },
    { kind: "log", id: "b", stream: "stdout", data: "b1\n", atMs: T + 20 },
    { kind: "log", id: "a", stream: "stdout", data: "a2\n", atMs: T + 30 },
    { kind: "step-failed", id: "b", message: "exit code: 1", atMs: T + 40 },
    { kind: "step-cancelled", id: "a", atMs: T + 50 },
  ];
  expect(shown("plain", events)).toMatchInlineSnapshot(`
    "#1 RUN a
    #1 0.010 a1
    #1 0.030 a2
    #1 ...

    #2 RUN b
    #2 0.020 b1
    #2 ERROR: exit code: 1

    #1 RUN a
    #1 CANCELED

    "
  `);
});

test("events: one event per line, as it came, between the version and the outcome", () => {
  const lines = shown("events", STEP).trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { kind: "stream-started", version: 1, atMs: T },
    ...STEP,
    { kind: "stream-ended", outcome: "success", atMs: T + 510 },
  ]);
});

test("quiet shows nothing", () => {
  expect(shown("quiet", STEP)).toBe("");
});

test("tty: the last frame has every step and its time at the right edge", () => {
  const frames = shown("tty", STEP).split("\u001b[?25l");
  const frame = frames.at(-1) ?? "";
  const last = textOf(frame.slice(frame.indexOf("[+]")));
  expect(last).toMatchInlineSnapshot(`
    "[+] Building 0.5s FINISHED
     => [1/2] RUN make                                      0.5s
     => => why: never built here
     => CACHED [2/2] COPY a b                               0.0s
    "
  `);
});

test("tty: a running step shows its last lines, and no row is wider than the window", () => {
  const long = "x".repeat(200);
  const running: ProgressEvent[] = [
    { kind: "step-started", id: "a", name: `RUN ${long}`, atMs: T },
    {
      kind: "log",
      id: "a",
      stream: "stdout",
      data: `1\n2\n\u001b[31m${long}\u001b[0m\nprogress 1\rprogress 2`,
      atMs: T,
    },
  ];
  const frame = shown("tty", running, { columns: 40, rows: 24 }).split("\u001b[?25h")[0] ?? "";
  const rows = textOf(frame).trimEnd().split("\n");
  expect(rows.at(-1)).toBe(" => => # progress 2");
  expect(Math.max(...rows.map((row) => row.length))).toBeLessThanOrEqual(40);
  expect(rows).toHaveLength(4);
});

test("tty: a picture taller than the window keeps what is running", () => {
  const events: ProgressEvent[] = Array.from({ length: 50 }, (_, index) => ({
    kind: "step-cached",
    id: String(index),
    name: `step ${index}`,
    atMs: T,
  }));
  events.push({ kind: "step-started", id: "run", name: "RUN last", atMs: T });
  const frame = shown("tty", events, { columns: 40, rows: 10 }).split("\u001b[?25h")[0] ?? "";
  const rows = textOf(frame).trimEnd().split("\n");
  expect(rows.length).toBeLessThanOrEqual(8);
  expect(rows.at(-1)).toContain("RUN last");
});

test.each([
  { bytes: 0, text: "0B" },
  { bytes: 999, text: "999B" },
  { bytes: 1053, text: "1.05kB" },
  { bytes: 3_200_000, text: "3.2MB" },
  { bytes: 62_700_000_000, text: "62.7GB" },
])("$bytes bytes are shown as $text", ({ bytes, text }) => {
  expect(formatBytes(bytes)).toBe(text);
});

const HOSTILE: readonly ProgressEvent[] = [
  { kind: "step-miss", id: "a", name: "RUN \u001b]0;x\u0007a\n b", reason: "\u001b[2J: never", concerns: "step" },
  { kind: "step-started", id: "a", name: "RUN \u001b]0;x\u0007a\n b", atMs: T },
  { kind: "notice", level: "warning", message: "no \u009b2J", hint: "\u001b[1A" },
  { kind: "log", id: "a", stream: "stdout", data: "\u001b[31mred\u001b[0m \u001b[2A\u001b]0;x\u0007over\n", atMs: T },
  { kind: "status", id: "a", item: "layer\u001b[1A", current: 1, total: 2, unit: "bytes", done: true, atMs: T },
  { kind: "step-failed", id: "a", message: "exit \u001b[1A", atMs: T },
];

test("plain: what others wrote colours its own output and does nothing else to a terminal", () => {
  expect(shown("plain", HOSTILE).replaceAll("\u001b", "ESC")).toMatchInlineSnapshot(`
    "#1 RUN �]0;x�a b
    #1 why: �[2J: never
    WARN: no �2J (�[1A)
    #1 0.000 ESC[31mredESC[0m over
    #1 layer�[1A 1B 0.0s done
    #1 ERROR: exit �[1A

    "
  `);
});

test("tty: what others wrote does nothing to a terminal but to be shown", () => {
  // What the picture itself is drawn with: the cursor hidden, moved, the rest erased, the cursor shown.
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is looked for
  const rest = shown("tty", HOSTILE).replaceAll(/\u001b\[(?:\?25[lh]|\d+A\r|\d+G|[JK])/g, "");
  expect(rest).not.toMatch(/(?!\n)\p{Cc}/u);
  expect(rest).toContain("=> ERROR RUN");
});

test("plain: output without a line end is shown in pieces, however much it is", () => {
  const data = "x".repeat(10_000);
  const events = Array.from({ length: 50 }, (_, index): ProgressEvent => {
    return { kind: "log", id: "a", stream: "stdout", data, atMs: T + index };
  });
  const text = shown("plain", [{ kind: "step-started", id: "a", name: "RUN yes", atMs: T }, ...events]);
  expect(text.replaceAll(/[^x]/g, "")).toHaveLength(500_000);
  expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThan(40_000);
});

test("plain-in-order: a step that waits may have any number of lines", () => {
  const text = shown("plain-in-order", [
    { kind: "plan", id: "p", steps: ["a", "b"].map((id) => ({ id, name: id, inputs: [] })), outputs: 0, atMs: T },
    { kind: "step-started", id: "a", name: "RUN a", atMs: T },
    { kind: "step-started", id: "b", name: "RUN b", atMs: T },
    { kind: "log", id: "b", stream: "stdout", data: "b\n".repeat(300_000), atMs: T },
    { kind: "step-done", id: "b", atMs: T },
    { kind: "step-done", id: "a", atMs: T },
  ]);
  expect(text.match(/^#\d \d.*b$/gm)).toHaveLength(300_000);
  expect(text).toContain("b\n#2 DONE 0.0s\n");
});

test("plain: a step with much to say waits no longer for one that never pauses", () => {
  const log = (id: string): ProgressEvent => ({ kind: "log", id, stream: "stdout", data: `${id}\n`, atMs: T });
  const text = shown("plain", [
    { kind: "step-started", id: "a", name: "RUN a", atMs: T },
    { kind: "step-started", id: "b", name: "RUN b", atMs: T },
    ...Array.from({ length: 20_000 }, () => [log("a"), log("b")]).flat(),
  ]);
  const turns = text.split("\n").filter((line) => line.endsWith(" ..."));
  expect(turns.length).toBeGreaterThan(2);
  expect(text.match(/^#\d \d.*[ab]$/gm)).toHaveLength(40_000);
});
