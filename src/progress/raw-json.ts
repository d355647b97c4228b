import { digestOf, isDigest } from "../../lib/core/digest.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { printableJson } from "../../lib/core/printable.ts";
import type { ProgressOutput, ProgressDisplay } from "./display.ts";

/** BuildKit's `Vertex`, as buildx writes it. Absent members are empty ones. */
interface Vertex {
  digest: string;
  inputs?: readonly string[];
  name: string;
  started?: string;
  completed?: string;
  cached?: true;
  error?: string;
}

/** BuildKit's `VertexWarning`; `short` and `detail` are in base64. */
interface Warning {
  readonly vertex: string;
  readonly level: number;
  readonly short: string;
  readonly detail?: readonly string[];
  readonly url?: string;
  readonly sourceInfo?: { readonly filename: string; readonly language: "Dockerfile" };
  readonly range?: readonly { readonly start: { readonly line: number }; readonly end: { readonly line: number } }[];
}

/** BuildKit's `SolveStatus`: one object a line, with what has changed. */
interface SolveStatus {
  readonly vertexes?: readonly Vertex[];
  readonly statuses?: readonly {
    readonly id: string;
    readonly vertex: string;
    readonly name?: string;
    readonly total?: number;
    readonly current: number;
    readonly timestamp: string;
    readonly started: string;
    readonly completed?: string;
  }[];
  /** `data` in base64; stream 1 is standard output, 2 is standard error. */
  readonly logs?: readonly {
    readonly vertex: string;
    readonly stream: 1 | 2;
    readonly data: string;
    readonly timestamp: string;
  }[];
  readonly warnings?: readonly Warning[];
}

/** The vertex of messages that belong to no step. BuildKit's warnings always have one. */
const NO_STEP = "kiln";

/** Makes a display that writes the lines of `docker buildx build --progress=rawjson`. */
export function rawJsonDisplay(output: ProgressOutput): ProgressDisplay {
  const vertices = new Map<string, Vertex>();
  /** Start of counted work, by vertex and item. */
  const begun = new Map<string, string>();
  const write = (status: SolveStatus): void => output.write(`${printableJson(status)}\n`);
  const vertexOf = (id: string): Vertex => {
    let vertex = vertices.get(id);
    if (vertex === undefined) vertices.set(id, (vertex = { digest: digestFor(id), name: id }));
    return vertex;
  };

  const take = (event: ProgressEvent): void => {
    if (event.kind === "notice") {
      const detail = event.hint === undefined ? {} : { detail: [base64(event.hint)] };
      const level = event.level === "warning" ? 1 : 0;
      write({ warnings: [{ vertex: digestFor(NO_STEP), level, short: base64(event.message), ...detail }] });
      return;
    }
    if (event.kind === "step-miss") return;
    const time = new Date(event.atMs).toISOString();
    switch (event.kind) {
      case "plan": {
        const planned = event.steps.map(({ id, name, inputs }): Vertex => {
          const vertex: Vertex = {
            digest: digestFor(id),
            ...(inputs.length === 0 ? {} : { inputs: inputs.map(digestFor) }),
            name,
          };
          vertices.set(id, vertex);
          return vertex;
        });
        if (planned.length > 0) write({ vertexes: planned });
        return;
      }
      case "step-started":
      case "step-cached":
      case "step-done":
      case "step-failed":
      case "step-cancelled":
        write({ vertexes: [changed(vertexOf(event.id), event, time)] });
        return;
      case "status": {
        const vertex = digestFor(event.id);
        const key = `${vertex} ${event.item}`;
        const started = begun.get(key) ?? time;
        begun.set(key, started);
        const total = event.total === undefined || event.total === 0 ? {} : { total: event.total };
        const completed = event.done ? { completed: time } : {};
        const { item: id, current } = event;
        const name = actionOf(id);
        write({
          statuses: [
            {
              id,
              vertex,
              ...(name === undefined ? {} : { name }),
              ...total,
              current,
              timestamp: time,
              started,
              ...completed,
            },
          ],
        });
        return;
      }
      case "log": {
        const stream = event.stream === "stdout" ? 1 : 2;
        write({ logs: [{ vertex: digestFor(event.id), stream, data: base64(event.data), timestamp: time }] });
        return;
      }
      case "finding":
        write({ warnings: [warningOf(event)] });
        return;
      case "output":
        return;
      default:
        event satisfies never;
    }
  };
  return { sink: take, finish: () => {} };
}

/** Applies an event of a step; a started one that turns out to be cached stays cached. */
function changed(vertex: Vertex, event: Extract<ProgressEvent, { readonly id: string }>, time: string): Vertex {
  if ("name" in event) vertex.name = event.name;
  vertex.started ??= time;
  switch (event.kind) {
    case "step-started":
      delete vertex.completed;
      delete vertex.error;
      break;
    case "step-cached":
      vertex.completed = time;
      vertex.cached = true;
      break;
    case "step-failed":
      vertex.completed = time;
      vertex.error = event.message;
      break;
    case "step-cancelled":
      vertex.completed = time;
      vertex.error = "context canceled";
      break;
    default:
      vertex.completed = time;
  }
  return vertex;
}

/** Names a transfer in BuildKit's words; other counted work has no name there. */
function actionOf(item: string): string | undefined {
  if (isDigest(item)) return "downloading";
  return item.startsWith("extracting ") ? "extract" : undefined;
}

function warningOf({ id, finding }: ProgressEvent & { readonly kind: "finding" }): Warning {
  const { rule, message, description, url, file, lines } = finding;
  const [first, last] = lines;
  return {
    vertex: digestFor(id),
    level: 1,
    short: base64(`${rule}: ${message} (line ${first})`),
    detail: [base64(description)],
    ...(url === undefined ? {} : { url }),
    sourceInfo: { filename: file, language: "Dockerfile" },
    range: [{ start: { line: first }, end: { line: last } }],
  };
}

function digestFor(id: string): string {
  return isDigest(id) ? id : digestOf(id);
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
