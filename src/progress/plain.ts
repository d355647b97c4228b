import { printable, printableLine, printableOutput } from "../../lib/core/printable.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { Blocks } from "./blocks.ts";
import type { ProgressOutput, ProgressDisplay } from "./display.ts";
import { outputLines } from "./output-lines.ts";
import { type Pending, newPending } from "./pending.ts";
import { StepBook, type StepState, formatSeconds, formatStatus } from "./step-book.ts";
import { type Style, styler } from "./style.ts";
import { FreeTurns, StepQueue } from "./turns.ts";

/** Maximum length of a line in UTF-16 code units; a longer one is shown in parts as it comes. */
const MAX_LINE = 16_384;

/**
 * Makes a log display: `#5 [2/3] RUN make`, `#5 0.312 output`, `#5 DONE 0.4s`. `as-it-comes`: lines of one step stay
 * together while it produces output; when another takes over, `#5 ...` marks it as unfinished. `in-order`: steps follow
 * one another in the order of the Dockerfile, each with all its lines; those that ran meanwhile wait.
 */
export function plainDisplay(output: ProgressOutput, order: "as-it-comes" | "in-order"): ProgressDisplay {
  const book = new StepBook(order === "in-order" ? "by-plan" : "by-appearance");
  const style = styler(output.colors);
  const blocks = new Blocks(output);
  const turns = order === "in-order" ? new StepQueue(book) : new FreeTurns(output);
  const pending = new Map<number, Pending>();
  let finished = false;

  const pendingOf = (step: StepState): Pending => {
    let entry = pending.get(step.number);
    if (entry === undefined) pending.set(step.number, (entry = newPending(step)));
    return entry;
  };
  const show = (entry: Pending): void => {
    blocks.show(entry);
    turns.shown(entry);
    if (entry.ended) pending.delete(entry.step.number);
  };

  return {
    sink(event) {
      if (finished) return;
      const step = book.apply(event);
      if (event.kind === "notice") blocks.write([noticeLine(event, style)]);
      if (event.kind === "plan") turns.planned(event);
      if (step === undefined || !("id" in event)) return;
      const entry = pendingOf(step);
      turns.appeared(entry);
      collect(event, step, entry, style);
      if (event.kind !== "step-miss") turns.flush(pending, show);
    },
    finish(outcome) {
      if (finished) return;
      finished = true;
      for (const entry of pending.values()) endPartialLines(entry.step, entry);
      turns.flush(pending, show);
      for (const entry of [...pending.values()].toSorted((a, b) => a.step.number - b.step.number)) {
        if (entry.step.state !== "waiting" || entry.lines.length > 0) show(entry);
      }
      blocks.end();
      if (outcome === "success") for (const made of book.outputs) blocks.write(outputLines(made));
      if (book.warnings > 1) blocks.write([style.warning(`${book.warnings} warnings above`)]);
    },
  };
}

/** Turns an event into printed lines. */
function collect(event: ProgressEvent, step: StepState, entry: Pending, style: Style): void {
  const prefix = `#${step.number}`;
  switch (event.kind) {
    case "log": {
      const lines = (entry.partial[event.stream] + event.data).split("\n");
      const open = lines.pop() ?? "";
      entry.partial[event.stream] = open.length > MAX_LINE ? "" : open;
      if (open.length > MAX_LINE) lines.push(open);
      entry.partialAtMs = event.atMs;
      for (const line of lines) entry.add(outputLine(step, event.atMs, line.replace(/\r$/, "")));
      break;
    }
    case "status":
      if (event.done)
        entry.lines.push(`${prefix} ${printableLine(formatStatus(event))} ${secondsSince(step, event.atMs)} done`);
      break;
    case "step-cached":
      entry.lines.push(`${prefix} CACHED`);
      entry.ended = true;
      break;
    case "step-done":
      endPartialLines(step, entry);
      if (step.state === "done") entry.lines.push(`${prefix} DONE ${secondsSince(step, event.atMs)}`);
      entry.ended = true;
      break;
    case "step-failed":
      endPartialLines(step, entry);
      entry.lines.push(style.error(`${prefix} ERROR: ${printable(event.message)}`));
      entry.ended = true;
      break;
    case "step-cancelled":
      endPartialLines(step, entry);
      entry.lines.push(style.cancel(`${prefix} CANCELED`));
      entry.ended = true;
      break;
    case "step-started":
    case "step-miss":
    case "notice":
    case "finding":
    case "plan":
    case "output":
      break;
    default:
      event satisfies never;
  }
}

function noticeLine(event: ProgressEvent & { readonly kind: "notice" }, style: Style): string {
  const text = `${event.message}${event.hint === undefined ? "" : ` (${event.hint})`}`;
  return event.level === "warning" ? style.warning(printable(`WARN: ${text}`)) : printable(`NOTE: ${text}`);
}

function endPartialLines(step: StepState, entry: Pending): void {
  for (const stream of ["stdout", "stderr"] as const) {
    const line = entry.partial[stream];
    if (line !== "") entry.lines.push(outputLine(step, entry.partialAtMs, line));
    entry.partial[stream] = "";
  }
}

function outputLine(step: StepState, atMs: number, line: string): string {
  return `#${step.number} ${secondsInto(step, atMs)} ${printableOutput(line)}`;
}

/** Formats the time of a line since the start of its step: `0.312`. */
function secondsInto(step: StepState, atMs: number): string {
  return (Math.max(0, atMs - (step.startedAtMs ?? atMs)) / 1000).toFixed(3);
}

function secondsSince(step: StepState, atMs: number): string {
  return formatSeconds(atMs - (step.startedAtMs ?? atMs));
}
