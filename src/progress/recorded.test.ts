import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { createProgress, type ProgressMode } from "./progress.ts";
import { Screen } from "./testing.ts";

const FOLDER = join(import.meta.dirname, "../../testdata/progress");
const RECORDED = ["cold", "warm", "failing", "stages"];
const WIDTHS = [40, 80, 200];
const ROWS = 24;

/** Reads what `--progress=events` wrote of a build. */
function recordedEvents(name: string): readonly ProgressEvent[] {
  const lines = readFileSync(join(FOLDER, `${name}.jsonl`), "utf8")
    .trimEnd()
    .split("\n");
  return lines.filter((line) => !line.startsWith('{"kind":"stream-')).map((line) => JSON.parse(line) as ProgressEvent);
}

/**
 * Shows a recorded build, at its own times, with a frame every 100 ms.
 * @param look is called at each frame
 */
function play(
  name: string,
  mode: ProgressMode,
  columns: number,
  write: (text: string) => void,
  look: (elapsedMs: number) => void = () => {},
): void {
  const events = recordedEvents(name);
  const times = events.flatMap((event) => ("atMs" in event ? [event.atMs] : []));
  const startMs = times[0] ?? 0;
  let now = startMs;
  let tick: (() => void) | undefined;
  const display = createProgress(mode, {
    write,
    size: () => ({ columns, rows: ROWS }),
    colors: false,
    logLines: 6,
    rewraps: true,
    nowMs: () => now,
    every: (_, draw) => {
      tick = draw;
      return { [Symbol.dispose]: () => {} };
    },
  });
  let nextFrameMs = startMs + 100;
  for (const event of events) {
    const atMs = "atMs" in event ? event.atMs : now;
    for (; nextFrameMs <= atMs; nextFrameMs += 100) {
      now = nextFrameMs;
      tick?.();
      look(now - startMs);
    }
    now = atMs;
    display.sink(event);
  }
  display.finish(events.some(({ kind }) => kind === "step-failed") ? "failure" : "success");
}

test.each(RECORDED.flatMap((name) => WIDTHS.map((columns) => ({ name, columns }))))(
  "a terminal of $columns columns shows the recorded build: $name",
  async ({ name, columns }) => {
    const screen = new Screen({ columns, rows: ROWS });
    const pictures: { readonly elapsedMs: number; readonly text: string }[] = [];
    play(
      name,
      "tty",
      columns,
      (text) => screen.write(text),
      (elapsedMs) => pictures.push({ elapsedMs, text: screen.text }),
    );
    // The fullest picture shows the most of what the display does; the first such one.
    const fullest = pictures.reduce<(typeof pictures)[number] | undefined>(
      (best, one) => (best !== undefined && lineCount(best.text) >= lineCount(one.text) ? best : one),
      undefined,
    );
    const parts = fullest === undefined ? [] : [`--- after ${fullest.elapsedMs} ms`, fullest.text];
    await expect([...parts, "--- at the end", screen.text, ""].join("\n")).toMatchFileSnapshot(
      join(FOLDER, `${name}-${columns}.txt`),
    );
  },
);

test.each(RECORDED)("a log shows the recorded build: %s", async (name) => {
  let text = "";
  play(name, "plain", 80, (piece) => {
    text += piece;
  });
  await expect(text).toMatchFileSnapshot(join(FOLDER, `${name}-plain.txt`));
});

function lineCount(text: string): number {
  return text.split("\n").length;
}
