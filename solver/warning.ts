import type { ProgressEvent } from "../lib/core/progress.ts";
import type { VertexMeta } from "./graph/vertex.ts";

/** Makes a warning about an instruction, with its line. */
export function warningAt({ span }: Pick<VertexMeta, "span">, message: string, hint?: string): ProgressEvent {
  const place = span === undefined ? "" : `${span.source.name}:${span.start.line}: `;
  return { kind: "notice", level: "warning", message: `${place}${message}`, hint };
}
