import { SourceText, type Span } from "../../lib/core/span.ts";
import type { ExecOp } from "../graph/op.ts";

/** Characters of a command that are shown in a sentence: all of it stands below, in the Dockerfile's lines. */
const MAX_SHOWN = 80;

/** A command as one short line. */
export function shortCommand(argv: readonly string[]): string {
  const text = argv.join(" ");
  const line = text.replaceAll(/\s*\n\s*/g, " ").trim();
  if (line.length <= MAX_SHOWN && !text.includes("\n")) return text;
  return line.length <= MAX_SHOWN ? line : `${line.slice(0, MAX_SHOWN - 3)}...`;
}

/**
 * Finds the line of a here-document that its shell blames in the last line it wrote, as in `/bin/sh: 3: make: not found`;
 * `undefined` when it blames none, or the script has only one line.
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

/** The only line that begins with a command, for shells that do not count lines. */
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
  // The same text may stand there several times: the one with as many before it is meant.
  let before = 0;
  for (let at = 1; at < number; at += 1) if (scriptText.line(at).trim() === blamed) before += 1;
  const places = lines.flatMap((text, at) => (text.trim() === blamed ? [start.line + at] : []));
  return places[before];
}
