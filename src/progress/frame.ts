import type { LogTail } from "./log-tail.ts";
import { type StepBook, type StepState, formatSeconds, formatStatus } from "./step-book.ts";
import type { Style } from "./style.ts";
import { fit, pad, textWidth } from "./width.ts";

/** The state that one frame of the live display shows. */
export interface Picture {
  readonly book: StepBook;
  readonly logs: ReadonlyMap<string, LogTail>;
  readonly elapsedMs: number;
  readonly nowMs: number;
  readonly logLines: number;
  readonly title: string;
  readonly ending: "running" | "success" | "failure";
}

/** A row of a frame, and the columns that it takes. */
export interface Row {
  readonly text: string;
  readonly width: number;
}

/** Makes the rows of one frame, none wider than the window. */
export function pictureOf(
  picture: Picture,
  window: { readonly columns: number; readonly rows: number },
  style: Style,
): Row[] {
  const { book, ending } = picture;
  const shown = [...book.steps].filter((step) => step.state !== "waiting");
  const label = ending === "running" ? "" : ending === "success" ? " FINISHED" : " ERROR";
  const { counts } = book;
  const count = counts === undefined ? "" : ` (${counts.finished}/${counts.total})`;
  const headline = `[+] ${picture.title} ${formatSeconds(picture.elapsedMs)}${count}${label}`;
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
  const head = row(headline, "", window.columns, style.plain);
  return [head, ...(rows.length > room ? rows.slice(rows.length - room) : rows)];
}

function styleOf({ state }: StepState, style: Style): (text: string) => string {
  if (state === "running") return style.plain;
  if (state === "failed") return style.error;
  return state === "cancelled" ? style.cancel : style.run;
}

const MARKS: Partial<Record<StepState["state"], string>> = {
  cached: "CACHED ",
  failed: "ERROR ",
  cancelled: "CANCELED ",
};

function rowsOf(step: StepState, picture: Picture, columns: number, style: Style): Row[] {
  const time = formatSeconds((step.endedAtMs ?? picture.nowMs) - (step.startedAtMs ?? picture.nowMs));
  const rows = [row(` => ${MARKS[step.state] ?? ""}${step.name}`, time, columns, styleOf(step, style))];
  if (step.missReason !== undefined) rows.push(row(` => => why: ${step.missReason}`, "", columns, style.dim));
  if (step.state === "running") {
    if (step.machine !== undefined) rows.push(row(` => => runs at ${step.machine}`, "", columns, style.dim));
    for (const status of step.statuses.values()) {
      if (!status.done) rows.push(row(` => => ${shortDigests(formatStatus(status))}`, time, columns, style.plain));
    }
    for (const line of picture.logs.get(step.id)?.last(picture.logLines) ?? []) {
      rows.push(row(` => => # ${line}`, "", columns, style.dim));
    }
  }
  return rows;
}

/** Makes one row: the text cut to leave room, the time at the right edge. */
function row(text: string, time: string, columns: number, paint: (text: string) => string): Row {
  if (time === "") {
    const fitted = fit(text, columns);
    return { text: paint(fitted), width: textWidth(fitted) };
  }
  const room = columns - time.length - 1;
  const fitted = fit(text, room);
  const isNarrow = textWidth(fitted) === fitted.length;
  // Terminals disagree about the width of some pictures, so that the time is given a column of its own.
  const between = isNarrow ? `${pad("", room - fitted.length)} ` : `\u001b[${Math.max(1, room + 2)}G`;
  return { text: paint(`${fitted}${between}${time}`), width: columns };
}

/** Shortens the digests of layers, which are there to tell one row from another. */
function shortDigests(text: string): string {
  return text.replaceAll(/sha256:([0-9a-f]{12})[0-9a-f]{52}/g, "$1");
}
