import { rmSync, renameSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { coverPasswords } from "../../lib/core/credentials.ts";
import { DEBUG_AREAS, listenToDebug } from "../../lib/core/debug.ts";
import { BuildError, errnoOf, messageOf } from "../../lib/core/errors.ts";
import { printable } from "../../lib/core/printable.ts";
import type { ProgressEvent, ProgressSink } from "../../lib/core/progress.ts";
import { chromeTrace, type TraceSpan } from "./chrome-trace.ts";
import type { CommandContext } from "./context.ts";

const GROUPS = ["engine", "steps", "transfers", ...DEBUG_AREAS.filter((area) => area !== "engine")];

/** An open trace of one command. */
export interface Trace {
  /** Takes the events of a display as well. */
  beside(display: ProgressSink): ProgressSink;
  /**
   * Writes the file.
   * @throws {BuildError} `export/failed`
   */
  write(): void;
  /**
   * Writes the unfinished trace, with open spans marked. A file that cannot be written is a warning: there is an error
   * already.
   */
  writeAfterFailure(): void;
}

/**
 * Begins a trace for `--trace`.
 * @throws {BuildError} `export/failed` for a path where no file can be written, before anything is done
 */
export function openTrace({ host, warn }: Pick<CommandContext, "host" | "warn">, file: string): Trace {
  const path = resolve(host.workingDirectory, file);
  const draft = join(dirname(path), `.${basename(path)}.${host.pid}`);
  writing(path, () => {
    const status = statSync(path, { throwIfNoEntry: false });
    if (status !== undefined && !status.isFile()) {
      throw new Error(status.isDirectory() ? "it is a directory" : "it is a device, a pipe or a socket");
    }
    writeFileSync(draft, "");
    rmSync(draft);
  });
  const startMs = performance.now();
  const spans: TraceSpan[] = [];
  const begin = (group: string, name: string): (() => void) => {
    const span = newSpan(group, name);
    spans.push(span);
    return () => (span.endMs = performance.now());
  };
  const listening = listenToDebug({ areas: new Set(DEBUG_AREAS), begin });
  const takeEvent = stepSpans(spans);
  const write = (): void => {
    listening[Symbol.dispose]();
    const text = chromeTrace(spans, { startMs, endMs: performance.now(), groups: GROUPS });
    writing(path, () => {
      try {
        writeFileSync(draft, text);
        renameSync(draft, path);
      } catch (error) {
        rmSync(draft, { force: true });
        throw error;
      }
    });
  };
  return {
    beside: (display) => (event) => {
      display(event);
      takeEvent(event);
    },
    write,
    writeAfterFailure() {
      try {
        write();
      } catch (error) {
        warn(`WARNING: ${messageOf(error)}`);
      }
    },
  };
}

function newSpan(group: string, name: string): TraceSpan {
  return { group, name: printable(coverPasswords(name)), startMs: performance.now(), endMs: undefined, details: {} };
}

/** Makes spans of the steps and transfers that the display shows. */
function stepSpans(spans: TraceSpan[]): ProgressSink {
  const open = new Map<string, TraceSpan>();
  const reasons = new Map<string, string>();
  const start = (key: string, group: string, name: string): TraceSpan => {
    const span = newSpan(group, name);
    spans.push(span);
    open.set(key, span);
    return span;
  };
  const finish = (key: string, details: TraceSpan["details"]): void => {
    const span = open.get(key);
    if (span === undefined) return;
    Object.assign(span.details, details);
    span.endMs = performance.now();
    open.delete(key);
  };
  return (event: ProgressEvent) => {
    switch (event.kind) {
      case "step-miss":
        reasons.set(event.id, event.reason);
        return;
      case "step-started": {
        const reason = reasons.get(event.id);
        Object.assign(start(event.id, "steps", event.name).details, reason === undefined ? {} : { reason });
        return;
      }
      case "step-cached":
        if (!open.has(event.id)) start(event.id, "steps", event.name);
        finish(event.id, { result: "cached" });
        return;
      case "step-done":
        finish(event.id, { result: "done", ...(event.usage === undefined ? {} : { cpuMs: event.usage.cpuMs }) });
        return;
      case "step-failed":
        finish(event.id, { result: "failed", message: coverPasswords(event.message) });
        return;
      case "step-cancelled":
        finish(event.id, { result: "cancelled" });
        return;
      case "status": {
        const key = `${event.id} ${event.item}`;
        if (!open.has(key)) start(key, "transfers", event.item);
        if (event.done) finish(key, { [event.unit]: event.current });
        return;
      }
      case "log":
      case "notice":
      case "finding":
      case "plan":
      case "output":
        return;
      default:
        event satisfies never;
    }
  };
}

/**
 * Runs `work`.
 * @throws {BuildError} `export/failed` where it fails
 */
function writing(path: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    const why = errnoOf(error) === "ENOENT" ? `there is no directory ${dirname(path)}` : messageOf(error);
    throw new BuildError("export/failed", `Cannot write ${path} for --trace: ${why}`, { cause: error });
  }
}
