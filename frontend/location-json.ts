import type { Span } from "../lib/core/span.ts";

/** A place in the answers to sub-requests: a range per line, from 1. The source is always the Dockerfile, number 0. */
export type JsonLocation = {
  readonly ranges: readonly {
    readonly start: { readonly line: number };
    readonly end: { readonly line: number };
  }[];
};

export function locationJson(span: Span): JsonLocation {
  // A span that ends before a line's first character ends with the previous line.
  const last = span.end.column === 1 && span.end.line > span.start.line ? span.end.line - 1 : span.end.line;
  const ranges = [];
  for (let line = span.start.line; line <= last; line += 1) ranges.push({ start: { line }, end: { line } });
  return { ranges };
}
