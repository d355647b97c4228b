import { printable, printableLine, printableOutput } from "../../lib/core/printable.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { StepBook, type StepState, formatSeconds, formatStatus, isFinished } from "./step-book.ts";
import type { ProgressOutput, ProgressDisplay } from "./display.ts";

/** Another step may be shown once the current one has been silent for this long. */
const PATIENCE_MS = 500;
/** The same, once it has this many waiting lines. */
const MAX_WAITING_LINES = 5_000;
/** Maximum length of a line in UTF-16 code units; a longer one is shown in parts as it comes. */
const MAX_LINE = 16_384;

/** Unprinted output of one step. */
interface Pending {
  readonly step: StepState;
  readonly lines: string[];
  /** The unfinished last line of each output stream. */
  readonly partial: { stdout: string; stderr: string };
  partialAtMs: number;
  announced: boolean;
  ended: boolean;
}

/**
 * Makes a log display: `#5 [2/3] RUN make`, `#5 0.312 output`, `#5 DONE 0.4s`. Lines of one step stay together while it
 * produces output; when another takes over, `#5 ...` marks it as unfinished.
 */
export function plainDisplay(output: ProgressOutput): ProgressDisplay {
  const book = new StepBook();
  const pending = new Map<number, Pending>();
  let shown: StepState | undefined;
  let shownAtMs = 0;
  let anything = false;

  const pendingOf = (step: StepState): Pending => {
    let entry = pending.get(step.number);
    if (entry === undefined) {
      entry = { step, lines: [], partial: { stdout: "", stderr: "" }, partialAtMs: 0, announced: false, ended: false };
      pending.set(step.number, entry);
    }
    return entry;
  };

  const show = (step: StepState, entry: Pending): void => {
    const header = shown !== step || !entry.announced;
    const text: string[] = [];
    if (header) {
      if (shown !== undefined && shown !== step && !isFinished(shown)) text.push(`#${shown.number} ...`);
      if (anything) text.push("");
      text.push(`#${step.number} ${step.name}`);
      if (!entry.announced && step.missReason !== undefined) text.push(`#${step.number} why: ${step.missReason}`);
      entry.announced = true;
    }
    text.push(...entry.lines.splice(0));
    output.write(text.map((line) => `${line}\n`).join(""));
    anything = true;
    shown = step;
    shownAtMs = output.nowMs();
    if (entry.ended) {
      pending.delete(step.number);
      shown = undefined;
    }
  };

  /** Prints the waiting lines. `force` ignores turns. */
  const flush = (force: "all" | "in-turn"): void => {
    if (shown !== undefined) {
      const entry = pending.get(shown.number);
      if (entry !== undefined && (entry.lines.length > 0 || entry.ended)) show(shown, entry);
    }
    // Only unfinished and unprinted steps are in the map, so a build of ten thousand cached steps stays linear.
    for (const entry of pending.values()) {
      const { step } = entry;
      if (step === shown) continue;
      const wants = entry.lines.length > 0 || !entry.announced || entry.ended;
      if (!wants || step.state === "waiting") continue;
      const isLate = output.nowMs() - shownAtMs > PATIENCE_MS || entry.lines.length > MAX_WAITING_LINES;
      const free = shown === undefined || entry.ended || isLate;
      if (force === "all" || free) show(step, entry);
    }
  };

  return {
    sink(event) {
      if (event.kind === "notice") {
        const level = event.level === "warning" ? "WARN" : "NOTE";
        const text = `${level}: ${event.message}${event.hint === undefined ? "" : ` (${event.hint})`}`;
        output.write(`${printable(text)}\n`);
        return;
      }
      const step = book.apply(event);
      if (step === undefined) return;
      const entry = pendingOf(step);
      collect(event, step, entry);
      if (event.kind !== "step-miss") flush("in-turn");
    },
    finish() {
      for (const entry of pending.values()) endPartialLines(entry.step, entry);
      flush("all");
      if (anything) output.write("\n");
    },
  };
}

/** Turns an event into printed lines. */
function collect(event: ProgressEvent, step: StepState, entry: Pending): void {
  const prefix = `#${step.number}`;
  switch (event.kind) {
    case "log": {
      const lines = (entry.partial[event.stream] + event.data).split("\n");
      const open = lines.pop() ?? "";
      entry.partial[event.stream] = open.length > MAX_LINE ? "" : open;
      if (open.length > MAX_LINE) lines.push(open);
      entry.partialAtMs = event.atMs;
      for (const line of lines) entry.lines.push(outputLine(step, event.atMs, line.replace(/\r$/, "")));
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
      entry.lines.push(`${prefix} ERROR: ${printable(event.message)}`);
      entry.ended = true;
      break;
    case "step-cancelled":
      endPartialLines(step, entry);
      entry.lines.push(`${prefix} CANCELED`);
      entry.ended = true;
      break;
    case "step-started":
    case "step-miss":
    case "notice":
      break;
    default:
      event satisfies never;
  }
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
