import { plainOutput, printable, printableLine, printableOutput } from "../../lib/core/printable.ts";
import type { Store } from "../../lib/store/store.ts";
import type { BuildReport, ReportedStep } from "../engine/report.ts";
import { formatSeconds } from "../progress/step-book.ts";

/** Something that a build did: a step of its Dockerfile, or work of kiln's own. */
export interface DoneWork {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number | undefined;
  readonly state: "done" | "cached" | "failed" | "cancelled";
  readonly step: ReportedStep | undefined;
}

/** Lists everything that a build did, in the order of beginning. */
export function workOf({ steps, record }: BuildReport): readonly DoneWork[] {
  const own = (record?.work ?? []).map(({ name, startMs, endMs, state }) => ({
    ...{ name, startMs, endMs, state },
    step: undefined,
  }));
  // A context that was read anyway is no line of the display.
  const all = steps
    .filter(({ startMs, how }) => startMs !== undefined || how === "ran")
    .map((step) => ({
      name: step.name,
      startMs: step.startMs ?? Number.POSITIVE_INFINITY,
      endMs: step.endMs,
      state: step.state ?? (step.how === "ran" ? ("done" as const) : ("cached" as const)),
      step,
    }));
  return [...own, ...all].toSorted((a, b) => a.startMs - b.startMs);
}

/** Iterates over a log's text in pieces; empty when the log is gone. */
export async function* logText(
  { logs }: Pick<Store, "logs">,
  name: string,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  try {
    for await (const chunk of logs.open(name)) {
      signal.throwIfAborted();
      if (chunk instanceof Uint8Array) yield decoder.decode(chunk, { stream: true });
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!isMissing(error)) throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Iterates over lines; a very long one comes in parts. */
async function* linesOf(text: AsyncIterable<string>): AsyncGenerator<string> {
  let open = "";
  for await (const piece of text) {
    const lines = (open + piece).split("\n");
    open = lines.pop() ?? "";
    yield* lines;
    if (open.length > MAX_LINE) {
      yield open;
      open = "";
    }
  }
  if (open !== "") yield open;
}

const MAX_LINE = 16_384;

/**
 * Writes the log of a build like `--progress=plain`, without the times of single lines, which no log keeps.
 * @param colours whether colours of the output stay
 */
export async function* plainLog(
  report: BuildReport,
  store: Pick<Store, "logs">,
  colours: boolean,
  signal: AbortSignal,
): AsyncGenerator<string> {
  for (const [index, { name, startMs, endMs, state, step }] of workOf(report).entries()) {
    const prefix = `#${index + 1}`;
    if (index > 0) yield "";
    yield `${prefix} ${printableLine(name)}`;
    if (step?.how === "ran" && step.why !== undefined) yield printableLine(`${prefix} why: ${step.why}`);
    if (step?.log !== undefined) {
      for await (const line of linesOf(logText(store, step.log, signal))) {
        const text = line.replace(/\r$/, "");
        yield `${prefix} ${colours ? printableOutput(text) : plainOutput(text)}`;
      }
    }
    yield `${prefix} ${endOf(state, endMs === undefined ? undefined : endMs - startMs)}`;
  }
  if (report.error !== undefined) {
    yield "";
    yield printable(`ERROR: ${report.error.message} (${report.error.code})`);
  }
}

function endOf(state: DoneWork["state"], milliseconds: number | undefined): string {
  const time = milliseconds === undefined ? "" : ` ${formatSeconds(milliseconds)}`;
  switch (state) {
    case "cached":
      return "CACHED";
    case "done":
      return `DONE${time}`;
    case "failed":
      return `ERROR${time}`;
    case "cancelled":
      return `CANCELED${time}`;
    default:
      return state satisfies never;
  }
}
