import type { Position, SourceText, Span } from "../../lib/core/span.ts";

/** A comment line, `#` and surrounding blanks removed. */
export interface Comment {
  readonly text: string;
  readonly span: Span;
}

/**
 * An instruction as one line. Continuation characters, comment lines and blank lines inside it are removed; heredoc
 * bodies are not part of it. Offsets into `text` map back to the file, so that spans are exact.
 */
export class LogicalLine {
  readonly source: SourceText;
  readonly text: string;
  /** Comment lines directly above. */
  readonly comments: readonly Comment[];
  /** The blank lines that interrupt the instruction. */
  readonly blankLines: readonly Span[];
  /** Number (from 1) of the last line of the file that belongs to it. */
  readonly endLine: number;
  readonly startOffset: number;
  /** Offset in the file of the end of the last line that is not blank. */
  readonly endOffset: number;
  readonly #more: Pieces | undefined;

  constructor(source: SourceText, read: ReadLine) {
    const { start, end, more } = read;
    this.source = source;
    this.#more = more;
    this.text = more === undefined ? source.text.slice(start, end) : more.text();
    this.comments = read.comments;
    this.blankLines = read.blankLines;
    this.endLine = read.endLine;
    this.startOffset = start;
    this.endOffset = more === undefined ? end : more.end;
  }

  /** Makes the span of a stretch of `text`, given by offsets. Text removed between its ends is inside the span. */
  span(start: number, end: number): Span {
    const first = this.#toSource(start);
    return new OffsetSpan(this.source, first, end > start ? this.#toSource(end - 1) + 1 : first);
  }

  /** Makes the span from the first character to an offset in the file. */
  spanTo(sourceEnd: number): Span {
    return new OffsetSpan(this.source, this.startOffset, sourceEnd);
  }

  /** Tells whether the character at an offset in the file is part of `text`. */
  covers(sourceOffset: number): boolean {
    if (this.#more !== undefined) return this.#more.covers(sourceOffset);
    return this.startOffset <= sourceOffset && sourceOffset < this.endOffset;
  }

  #toSource(offset: number): number {
    return this.#more === undefined ? this.startOffset + offset : this.#more.toSource(offset);
  }
}

/** The parts of a {@link LogicalLine}. */
interface ReadLine {
  /** Offset of the first line in the file, without leading blanks. */
  readonly start: number;
  readonly end: number;
  /** All the lines, when there are several. */
  readonly more: Pieces | undefined;
  readonly comments: readonly Comment[];
  readonly blankLines: readonly Span[];
  readonly endLine: number;
}

/** The stretches of the file that make up a line with continuations. */
export class Pieces {
  readonly #source: string;
  /**
   * Starts of the stretches in the logical line and in the file. Two arrays of numbers, because there may be hundreds
   * of thousands.
   */
  readonly #textStarts: number[] = [];
  readonly #sourceStarts: number[] = [];
  #length = 0;
  /** The end of the last stretch. */
  end = 0;

  constructor(source: string) {
    this.#source = source;
  }

  add(start: number, end: number): void {
    this.#textStarts.push(this.#length);
    this.#sourceStarts.push(start);
    this.#length += end - start;
    this.end = end;
  }

  text(): string {
    const texts: string[] = [];
    for (const [i, start] of this.#sourceStarts.entries()) {
      const length = (this.#textStarts[i + 1] ?? this.#length) - (this.#textStarts[i] ?? 0);
      texts.push(this.#source.slice(start, start + length));
    }
    return texts.join("");
  }

  covers(sourceOffset: number): boolean {
    return this.#sourceStarts.some((start, i) => {
      const length = (this.#textStarts[i + 1] ?? this.#length) - (this.#textStarts[i] ?? 0);
      return start <= sourceOffset && sourceOffset < start + length;
    });
  }

  toSource(offset: number): number {
    let low = 0;
    let high = this.#textStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#textStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return (this.#sourceStarts[low] ?? 0) + offset - (this.#textStarts[low] ?? 0);
  }
}

/** A span by offsets. Lines and columns are computed on demand: most spans of a file are never shown. */
export class OffsetSpan implements Span {
  readonly source: SourceText;
  readonly #start: number;
  readonly #end: number;

  constructor(source: SourceText, start: number, end: number) {
    this.source = source;
    this.#start = start;
    this.#end = end;
  }

  get start(): Position {
    return this.source.positionAt(this.#start);
  }

  get end(): Position {
    return this.source.positionAt(this.#end);
  }
}

/** A span from the start of one span to the end of another in the same text. */
export class JoinedSpan implements Span {
  readonly #first: Span;
  readonly #last: Span;

  constructor(first: Span, last: Span) {
    this.#first = first;
    this.#last = last;
  }

  get source(): SourceText {
    return this.#first.source;
  }

  get start(): Position {
    return this.#first.start;
  }

  get end(): Position {
    return this.#last.end;
  }
}
