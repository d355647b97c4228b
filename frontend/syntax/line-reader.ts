import { BuildError } from "../../lib/core/errors.ts";
import type { SourceText, Span } from "../../lib/core/span.ts";
import { skipSpaces, trimEndOffset } from "../words/spaces.ts";
import { LogicalLine, OffsetSpan, Pieces, type Comment } from "./logical-line.ts";
import type { Escape } from "../words/escape.ts";

/** Limit of Docker's frontend, in bytes of UTF-8 without the line end. */
const MAX_LINE_BYTES = 65_535;

/** A reader of a Dockerfile's lines: {@link next} gives instructions, {@link heredocBody} the lines below one. */
export class LineReader {
  readonly source: SourceText;
  readonly #text: string;
  readonly #escape: Escape;
  readonly #onError: (error: BuildError) => void;
  #at: number;
  #lineNumber: number;
  #comments: Comment[] | undefined;

  constructor(source: SourceText, from: number, escape: Escape, onError: (error: BuildError) => void) {
    this.source = source;
    this.#text = source.text;
    this.#escape = escape;
    this.#onError = onError;
    this.#at = from;
    this.#lineNumber = newlines(source.text, from);
  }

  /** Returns the next instruction, or `undefined` at the end. Lines that are too long are reported and left out. */
  next(): LogicalLine | undefined {
    for (;;) {
      const line = this.#nextLine();
      if (line === undefined) return undefined;
      const start = skipSpaces(this.#text, line.start, line.end);
      if (start >= line.end || this.#text[start] === "#") {
        if (start < line.end) this.#remember(line.start, line.end);
        continue;
      }
      return this.#logicalLine(start, line.end);
    }
  }

  #logicalLine(start: number, end: number): LogicalLine {
    const continued = this.#continuation(start, end);
    const more = continued === undefined ? undefined : new Pieces(this.#text);
    more?.add(start, continued ?? end);
    let blankLines: Span[] | undefined;
    let isContinued = continued !== undefined;
    while (isContinued) {
      const line = this.#nextLine();
      if (line === undefined) break;
      const first = skipSpaces(this.#text, line.start, line.end);
      if (first >= line.end) {
        blankLines ??= [];
        blankLines.push(new OffsetSpan(this.source, line.start, line.end));
      } else if (this.#text[first] !== "#") {
        const before = this.#continuation(line.start, line.end);
        more?.add(line.start, before ?? line.end);
        isContinued = before !== undefined;
      }
    }
    const comments = this.#comments;
    this.#comments = undefined;
    return new LogicalLine(this.source, {
      start,
      end: continued ?? end,
      more,
      comments: comments ?? NONE,
      blankLines: blankLines ?? NONE,
      endLine: this.#lineNumber,
    });
  }

  /**
   * Consumes the lines up to and including the terminator. Without a terminator it consumes the rest of the file and
   * returns `undefined`.
   */
  heredocBody(name: string, leadingTabs: "keep" | "chomp"): HeredocBody | undefined {
    const start = this.#at;
    for (;;) {
      const line = this.#nextLine();
      if (line === undefined) return undefined;
      let wordStart = line.start;
      if (leadingTabs === "chomp") while (this.#text[wordStart] === "\t") wordStart += 1;
      if (line.end - wordStart === name.length && this.#text.startsWith(name, wordStart)) {
        return { text: this.#text.slice(start, line.start), start, end: line.start, terminatorEnd: line.end };
      }
    }
  }

  /** Finds the next line. Its end excludes "\n" and any "\r" before that. */
  #nextLine(): { readonly start: number; readonly end: number } | undefined {
    const start = this.#at;
    if (start >= this.#text.length) return undefined;
    const newline = this.#text.indexOf("\n", start);
    const next = newline === -1 ? this.#text.length : newline;
    this.#at = next + 1;
    this.#lineNumber += 1;
    let end = next;
    while (end > start && this.#text[end - 1] === "\r") end -= 1;
    if (this.#isTooLong(start, next)) {
      const message = `dockerfile line greater than max allowed size of ${String(MAX_LINE_BYTES)}`;
      const span = new OffsetSpan(this.source, start, Math.min(end, start + 80));
      this.#onError(new BuildError("dockerfile/syntax", message, { span, hint: "break the line, or COPY a file" }));
      return { start, end: start };
    }
    return { start, end };
  }

  #isTooLong(start: number, end: number): boolean {
    // A UTF-16 code unit is at most three bytes of UTF-8.
    if ((end - start) * 3 <= MAX_LINE_BYTES) return false;
    return end - start > MAX_LINE_BYTES || Buffer.byteLength(this.#text.slice(start, end)) > MAX_LINE_BYTES;
  }

  /**
   * Finds the end of the line's own text if the line is continued: at an escape character with only blanks after it and
   * no second one before it.
   */
  #continuation(start: number, end: number): number | undefined {
    let at = end - 1;
    while (at >= start && (this.#text[at] === " " || this.#text[at] === "\t")) at -= 1;
    if (at < start || this.#text[at] !== this.#escape) return undefined;
    return at > start && this.#text[at - 1] === this.#escape ? undefined : at;
  }

  /**
   * Remembers a comment. A bare `#` discards the earlier ones. Blanks before the sign stay in the text, with the sign:
   * such a comment describes nothing.
   */
  #remember(start: number, end: number): void {
    const textFrom = skipSpaces(this.#text, start + 1, end);
    const textEnd = trimEndOffset(this.#text, textFrom, end);
    if (textFrom >= textEnd) this.#comments = undefined;
    else {
      const text = this.#text.slice(textFrom, textEnd);
      this.#comments ??= [];
      this.#comments.push({ text, span: new OffsetSpan(this.source, start, end) });
    }
  }
}

const NONE: readonly never[] = [];

/** Counts line ends. Asking the source for a position would make it index all its lines, which only messages need. */
function newlines(text: string, end: number): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at !== -1 && at < end; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

/** Body text with line ends; offsets are into the file. */
export interface HeredocBody {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly terminatorEnd: number;
}
