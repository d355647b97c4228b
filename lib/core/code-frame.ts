import { coverPasswords } from "./credentials.ts";
import type { BuildError } from "./errors.ts";
import { plainOutput, printable, printableLine, printableOutput } from "./printable.ts";
import type { Span } from "./span.ts";

/** Wraps pieces of text for emphasis: in terminal colours, or in nothing. */
export interface FrameStyle {
  /** Styles `error[code]:` and the marks below source lines. */
  error(text: string): string;
  /** Styles the message. */
  bold(text: string): string;
  /** Styles line numbers and rules. */
  dim(text: string): string;
  /** Styles `hint:`. */
  hint(text: string): string;
}

export interface FrameOptions {
  /** Default: plain text. */
  readonly style?: FrameStyle | undefined;
  /** Columns of the window, which source lines are cut to: a mark is not to be broken over two rows. */
  readonly columns?: number | undefined;
}

const same = (text: string): string => text;
const PLAIN: FrameStyle = { error: same, bold: same, dim: same, hint: same };

/**
 * Renders an error for people, without a line end at the end:
 *
 *     error[dockerfile/syntax]: COPY needs a destination
 *       --> Dockerfile:3:1
 *       3 | COPY app.js
 *         | ^^^^^^^^^^^
 *       hint: write COPY <source>... <destination>
 *
 * After that come its detail and, after a blank line each, the other errors of the same pass.
 */
export function renderError(error: BuildError, options: FrameOptions = {}): string {
  const style = options.style ?? PLAIN;
  // A failed command may have coloured its output; without a style, colours are removed.
  const output = options.style === undefined ? plainOutput : printableOutput;
  const lines = [`${style.error(`error[${error.code}]:`)} ${style.bold(printable(error.message))}`];
  if (error.span !== undefined) lines.push(renderSpan(error.span, options));
  if (error.detail !== undefined && error.detail !== "")
    lines.push(output(error.detail.replace(/\n$/, "")).replaceAll(/^(?=.)/gm, "  "));
  if (error.hint !== undefined) lines.push(`  ${style.hint("hint:")} ${printable(error.hint)}`);
  const others = error.more.slice(0, MAX_OTHERS).map((other) => renderError(other, options));
  const unsaid = error.more.length - others.length;
  return [lines.join("\n"), ...others, ...(unsaid > 0 ? [`and ${unsaid} more errors`] : [])].join("\n\n");
}

/** Limit of errors shown besides the first: a file that is no Dockerfile at all has one in every line. */
const MAX_OTHERS = 29;

/** Lines shown at each end of a span that is too long to show whole. */
const EDGE_LINES = 5;

/** Limit of columns shown of one source line. A line may be 64 KiB long. */
const MAX_WIDTH = 160;
/** Columns of a source line that are shown in the narrowest window. */
const MIN_WIDTH = 20;

/** Renders the place and its lines, with the span underlined. A long span shows only its first and last lines. */
export function renderSpan(span: Span, options: FrameOptions = {}): string {
  const style = options.style ?? PLAIN;
  const { source, start, end } = span;
  const lines = [`  ${style.dim("-->")} ${printableLine(source.name)}:${String(start.line)}:${String(start.column)}`];
  // A span that ends at the very beginning of a line contains nothing of that line.
  const lastLine = end.line > start.line && end.column === 1 ? end.line - 1 : end.line;
  const isLong = lastLine - start.line >= 2 * EDGE_LINES;
  const width = Math.max(String(lastLine).length, isLong ? 3 : 1);
  const gutter = (label: string): string => style.dim(`  ${label.padStart(width)} |`);
  // The gutter, a blank, and dots at both ends.
  const room = (options.columns ?? Number.POSITIVE_INFINITY) - width - "   | ".length - 2 * DOTS.length;
  const maxWidth = Math.max(MIN_WIDTH, Math.min(MAX_WIDTH, room));
  for (let number = start.line; number <= lastLine; number += 1) {
    if (isLong && number === start.line + EDGE_LINES) {
      lines.push(gutter("..."));
      number = lastLine - EDGE_LINES + 1;
    }
    const text = coverPasswords(source.line(number));
    const from = number === start.line ? start.column - 1 : leadingBlanks(text);
    const to = number === lastLine && lastLine === end.line ? end.column - 1 : text.length;
    const shown = cut(text, from, Math.max(from, Math.min(to, text.length)), maxWidth);
    lines.push(`${gutter(String(number))} ${shown.text}`.trimEnd());
    if (shown.text !== "" || number === start.line)
      lines.push(`${gutter("")} ${shown.indent}${style.error("^".repeat(Math.max(1, shown.width)))}`);
  }
  return lines.join("\n");
}

/** Stand where a source line was cut. */
const DOTS = "...";

/** Cuts the part of a line around the columns `from` to `to`, safe to print. */
function cut(
  line: string,
  from: number,
  to: number,
  maxWidth: number,
): { readonly text: string; readonly indent: string; readonly width: number } {
  const start = from < maxWidth / 2 ? 0 : from - Math.min(20, Math.floor(maxWidth / 4));
  const end = Math.min(line.length, start + maxWidth);
  const before = start > 0 ? DOTS : "";
  const after = end < line.length ? DOTS : "";
  const visible = line.slice(start, end);
  // Tabs stay in the indent, so that the mark is in the right column whatever the tab width is.
  const indent = " ".repeat(before.length) + printable(line.slice(start, from)).replaceAll(/[^\t]/gu, " ");
  const marked = Array.from(line.slice(from, Math.min(to, end))).length;
  return { text: before + printable(visible) + after, indent, width: marked };
}

function leadingBlanks(text: string): number {
  return text.length - text.trimStart().length;
}
