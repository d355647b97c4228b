import { printable } from "../../lib/core/printable.ts";
import type { ProgressOutput, ProgressDisplay } from "./display.ts";
import { pictureOf, type Row } from "./frame.ts";
import { LogTail } from "./log-tail.ts";
import { outputLines } from "./output-lines.ts";
import { StepBook } from "./step-book.ts";
import { styler } from "./style.ts";

const FRAME_MS = 100;

/**
 * Makes a live display: a headline, one row per step with its time at the right edge, and below running steps their
 * last lines of output. Each frame is written over the one before, row by row, so that nothing flickers. It never grows
 * past the window, because lines that have scrolled off cannot be erased. Between frames the cursor is visible and
 * stands below them: a process that is killed or stopped leaves a usable terminal.
 */
export function ttyDisplay(output: ProgressOutput): ProgressDisplay {
  const book = new StepBook();
  const logs = new Map<string, LogTail>();
  const notices: { readonly text: string; readonly isWarning: boolean }[] = [];
  const style = styler(output.colors);
  let startedAtMs: number | undefined;
  let drawn: readonly Row[] = [];
  let finished = false;
  let ticking: Disposable | undefined;
  let continuing: Disposable | undefined;

  const draw = (ending: "running" | "success" | "failure"): void => {
    const { columns, rows } = output.size();
    const now = output.nowMs();
    const lines = pictureOf(
      {
        book,
        logs,
        elapsedMs: now - (startedAtMs ?? now),
        nowMs: now,
        logLines: output.logLines,
        title: output.title ?? "Building",
        ending,
      },
      { columns, rows: ending === "running" ? Math.max(4, rows - 2) : Number.POSITIVE_INFINITY },
      style,
    );
    const said = notices.splice(0).map(({ text, isWarning }) => (isWarning ? style.warning(text) : text));
    // A notice may be wider than the window; it stays, and rows follow it.
    const texts = [...said.flatMap((text) => text.split("\n")), ...lines.map(({ text }) => text)];
    const height = drawnHeight(drawn, columns, output.rewraps);
    const up = height === 0 ? "" : `\u001b[${Math.min(height, rows)}A\r`;
    const erased = said.length > 0 && height > 0 ? "\u001b[J" : "";
    const body = texts.map((text) => `${text}\u001b[K\n`).join("");
    output.write(`\u001b[?25l${up}${erased}${body}\u001b[J\u001b[?25h`);
    drawn = lines;
  };

  return {
    sink(event) {
      if (finished) return;
      book.apply(event);
      if ("atMs" in event) startedAtMs ??= event.atMs;
      if (event.kind === "notice") {
        const label = event.level === "warning" ? "WARNING" : "note";
        const text = printable(`${label}: ${event.message}${event.hint === undefined ? "" : ` (${event.hint})`}`);
        notices.push({ text, isWarning: event.level === "warning" });
        return;
      }
      if (event.kind === "log") {
        let tail = logs.get(event.id);
        if (tail === undefined) logs.set(event.id, (tail = new LogTail()));
        tail.add(event);
      }
      ticking ??= output.every(FRAME_MS, () => draw("running"));
      // After a stop the shell has written below the frame: the next one begins there.
      continuing ??= output.afterStop?.(() => {
        drawn = [];
      });
    },
    finish(outcome) {
      if (finished) return;
      finished = true;
      ticking?.[Symbol.dispose]();
      continuing?.[Symbol.dispose]();
      if (book.count > 0 || notices.length > 0) draw(outcome);
      if (outcome === "success") {
        for (const made of book.outputs)
          output.write(
            outputLines(made)
              .map((line) => `${line}\n`)
              .join(""),
          );
      }
    },
  };
}

/** Counts the lines that a frame takes up now. A terminal that wraps again has broken rows wider than the window. */
function drawnHeight(rows: readonly Row[], columns: number, rewraps: boolean): number {
  if (!rewraps) return rows.length;
  return rows.reduce((sum, { width }) => sum + Math.max(1, Math.ceil(width / Math.max(1, columns))), 0);
}
