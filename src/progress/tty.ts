import { plainOutput, printable } from "../../lib/core/printable.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { DEFAULT_COLORS, type ProgressColors } from "./colors.ts";
import { StepBook, type StepState, formatSeconds, formatStatus } from "./step-book.ts";
import type { ProgressOutput, ProgressDisplay } from "./display.ts";

const FRAME_MS = 100;
/** Lines kept of a step's output, enough to fill a window of any size. */
const KEPT_LINES = 50;

/**
 * Makes a live display: a headline, one row per step with its time at the right edge, and below running steps their
 * last lines of output. Each frame erases the one before; it never grows past the window, because lines that have
 * scrolled off cannot be erased.
 */
export function ttyDisplay(output: ProgressOutput): ProgressDisplay {
  const book = new StepBook();
  const logs = new Map<string, LogTail>();
  const notices: { readonly text: string; readonly isWarning: boolean }[] = [];
  let startedAtMs: number | undefined;
  let drawnRows = 0;
  let drawnColumns = 0;
  let finished = false;
  let ticking: Disposable | undefined;

  const draw = (ending: "running" | "success" | "failure"): void => {
    const { columns, rows } = output.size();
    const now = output.nowMs();
    const style = styler(output.colors);
    const lines = pictureOf(
      { book, logs, elapsedMs: now - (startedAtMs ?? now), nowMs: now, logLines: output.logLines, ending },
      { columns, rows: ending === "running" ? Math.max(4, rows - 2) : Number.POSITIVE_INFINITY },
      style,
    );
    // A narrower window has re-wrapped the last frame: its rows take up more lines than were written.
    const factor = drawnColumns > columns ? Math.ceil(drawnColumns / Math.max(1, columns)) : 1;
    const erase = drawnRows === 0 ? "" : `\u001b[${Math.min(drawnRows * factor, rows)}A\r\u001b[J`;
    const said = notices.splice(0).map(({ text, isWarning }) => `${isWarning ? style.warning(text) : text}\n`);
    output.write(`\u001b[?25l${erase}${said.join("")}${lines.map((line) => `${line}\n`).join("")}\u001b[?25h`);
    drawnRows = lines.length;
    drawnColumns = columns;
  };

  return {
    sink(event) {
      if (finished) return;
      if (event.kind === "notice") {
        const label = event.level === "warning" ? "WARNING" : "note";
        const text = printable(`${label}: ${event.message}${event.hint === undefined ? "" : ` (${event.hint})`}`);
        notices.push({ text, isWarning: event.level === "warning" });
        return;
      }
      book.apply(event);
      if ("atMs" in event) startedAtMs ??= event.atMs;
      if (event.kind === "log") {
        let tail = logs.get(event.id);
        if (tail === undefined) logs.set(event.id, (tail = new LogTail()));
        tail.add(event);
      }
      if (ticking === undefined) ticking = output.every(FRAME_MS, () => draw("running"));
    },
    finish(outcome) {
      if (finished) return;
      finished = true;
      ticking?.[Symbol.dispose]();
      if (book.count > 0 || notices.length > 0) draw(outcome);
    },
  };
}

interface Picture {
  readonly book: StepBook;
  readonly logs: ReadonlyMap<string, LogTail>;
  readonly elapsedMs: number;
  readonly nowMs: number;
  readonly logLines: number;
  readonly ending: "running" | "success" | "failure";
}

/** Makes the rows of one frame, none wider than the window. Exported for its tests. */
function pictureOf(
  picture: Picture,
  window: { readonly columns: number; readonly rows: number },
  style: Style,
): string[] {
  const { book, ending } = picture;
  const shown = [...book.steps].filter((step) => step.state !== "waiting");
  const label = ending === "running" ? "" : ending === "success" ? " FINISHED" : " ERROR";
  const headline = `[+] Building ${formatSeconds(picture.elapsedMs)} (${book.finishedCount}/${book.count})${label}`;
  const blocks = shown.map((step) => ({ step, rows: rowsOf(step, picture, window.columns, style) }));
  // When not all fits, finished steps go first, oldest first: running ones matter most.
  let height = 1 + blocks.reduce((sum, block) => sum + block.rows.length, 0);
  for (const block of blocks) {
    if (height <= window.rows) break;
    if (block.step.state === "running") continue;
    height -= block.rows.length;
    block.rows.length = 0;
  }
  const rows = blocks.flatMap((block) => block.rows);
  const room = Math.max(0, window.rows - 1);
  return [fit(headline, window.columns), ...(rows.length > room ? rows.slice(rows.length - room) : rows)];
}

function styleOf({ state }: StepState, style: Style): (text: string) => string {
  if (state === "running") return style.plain;
  if (state === "failed") return style.error;
  return state === "cancelled" ? style.cancel : style.run;
}

function rowsOf(step: StepState, picture: Picture, columns: number, style: Style): string[] {
  const time = formatSeconds((step.endedAtMs ?? picture.nowMs) - (step.startedAtMs ?? picture.nowMs));
  const marks: Partial<Record<StepState["state"], string>> = {
    cached: "CACHED ",
    failed: "ERROR ",
    cancelled: "CANCELED ",
  };
  const paint = styleOf(step, style);
  const rows = [paint(row(` => ${marks[step.state] ?? ""}${step.name}`, time, columns))];
  if (step.missReason !== undefined) rows.push(style.dim(row(` => => why: ${step.missReason}`, "", columns)));
  if (step.state === "running") {
    for (const status of step.statuses.values()) {
      if (!status.done) rows.push(row(` => => ${formatStatus(status)}`, time, columns));
    }
    for (const line of picture.logs.get(step.id)?.last(picture.logLines) ?? []) {
      rows.push(style.dim(row(` => => # ${line}`, "", columns)));
    }
  }
  return rows;
}

/** Makes one row: the text cut to leave room, the time at the right edge. */
function row(text: string, time: string, columns: number): string {
  const room = columns - time.length - 1;
  return time === "" ? fit(text, columns) : `${fit(text, room).padEnd(room)} ${time}`;
}

function fit(text: string, columns: number): string {
  // A tab would break the layout.
  const flat = text.replaceAll("\t", " ");
  return flat.length <= columns ? flat : `${flat.slice(0, Math.max(0, columns - 3))}...`;
}

/** The last lines of a step's output, as a terminal would show them: escape sequences dropped, "\r" starts over. */
class LogTail {
  readonly #lines: string[] = [];
  #partial = "";

  add(event: ProgressEvent & { readonly kind: "log" }): void {
    const lines = (this.#partial + event.data).split("\n");
    this.#partial = (lines.pop() ?? "").slice(-4096);
    for (const line of lines) this.#lines.push(visible(line));
    if (this.#lines.length > KEPT_LINES) this.#lines.splice(0, this.#lines.length - KEPT_LINES);
  }

  last(count: number): string[] {
    const open = visible(this.#partial);
    return [...this.#lines, ...(open === "" ? [] : [open])].slice(-Math.max(0, count));
  }
}

function visible(line: string): string {
  const afterReturn = line.replace(/\r+$/, "");
  return plainOutput(afterReturn.slice(afterReturn.lastIndexOf("\r") + 1));
}

/** Colours of whole rows. */
export type Style = Readonly<
  Record<"plain" | "error" | "cancel" | "run" | "warning" | "dim", (text: string) => string>
>;

function styler(colors: ProgressColors | false): Style {
  const wrap =
    (code: string | undefined) =>
    (text: string): string =>
      code !== undefined && colors !== false ? `\u001b[${code}m${text}\u001b[0m` : text;
  const { run, error, cancel, warning } = colors === false ? DEFAULT_COLORS : colors;
  const painted = { run: wrap(run), error: wrap(error), cancel: wrap(cancel), warning: wrap(warning) };
  return { plain: (text) => text, ...painted, dim: wrap("2") };
}
