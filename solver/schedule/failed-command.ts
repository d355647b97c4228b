import { SourceText, type Span } from "../../lib/core/span.ts";
import type { ExecOp } from "../graph/op.ts";

/** Limit of a command's characters in a sentence: the whole command is in the Dockerfile's lines below. */
const MAX_SHOWN = 80;

/** Shortens a command to one line. */
export function shortCommand(argv: readonly string[]): string {
  const text = argv.join(" ");
  const line = text.replaceAll(/\s*\n\s*/g, " ").trim();
  if (line.length <= MAX_SHOWN && !text.includes("\n")) return text;
  return line.length <= MAX_SHOWN ? line : `${line.slice(0, MAX_SHOWN - 3)}...`;
}

/**
 * Finds the line of a here-document that its shell names in its last message, as in `/bin/sh: 3: make: not found`;
 * `undefined` when it names none, or the script has only one line.
 */
export function blamedLine(op: Pick<ExecOp, "argv">, span: Span | undefined, tail: string): Span | undefined {
  const last = tail.trimEnd().split("\n").at(-1) ?? "";
  const blame = /^\S*(?:sh|\/dev\/pipes\/\S+): (?:(?:line )?(\d+): )?([^\s:]+)/.exec(last);
  if (span === undefined || blame === null) return undefined;
  const [, number, command = ""] = blame;
  const script = op.argv.at(-1) ?? "";
  const line = number === undefined ? lineOfCommand(script, span, command) : lineInFile(script, span, Number(number));
  if (line === undefined) return undefined;
  const { source } = span;
  const start = source.lineStarts[line - 1] ?? 0;
  const text = source.line(line);
  return source.span(start + text.length - text.trimStart().length, start + text.length);
}

/** Finds the only line that begins with a command, for shells that do not number lines. */
function lineOfCommand(script: string, { source, start, end }: Span, command: string): number | undefined {
  if (!script.includes("\n")) return undefined;
  const lines = Array.from({ length: end.line - start.line }, (_, at) => start.line + at + 1);
  const [found, ...others] = lines.filter((number) => source.line(number).trim().split(/\s/, 1)[0] === command);
  return others.length === 0 ? found : undefined;
}

function lineInFile(script: string, span: Span, number: number): number | undefined {
  const { source, start, end } = span;
  const lines = Array.from({ length: end.line - start.line + 1 }, (_, at) => source.line(start.line + at));
  if (script.startsWith("/dev/pipes/")) {
    const first = lines.findIndex((text) => text.trimStart().startsWith("#!"));
    const found = start.line + first + number - 1;
    return first === -1 || found >= end.line ? undefined : found;
  }
  const scriptText = new SourceText("script", script);
  const blamed = scriptText.line(number).trim();
  if (blamed === "" || scriptText.lineStarts.length < 2) return undefined;
  // The same text may occur several times: the right one has the same number of occurrences before it.
  let before = 0;
  for (let at = 1; at < number; at += 1) if (scriptText.line(at).trim() === blamed) before += 1;
  const places = lines.flatMap((text, at) => (text.trim() === blamed ? [start.line + at] : []));
  return places[before];
}
