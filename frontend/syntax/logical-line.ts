import type { Position, SourceText, Span } from "../../src/core/span.ts";
import type { Comment } from "../instructions/instruction.ts";

/**
 * An instruction as one line: continuation characters, comment lines and blank lines inside it are taken out, heredoc
 * bodies are not part of it. Offsets into `text` map back to the file, so that spans are exact.
 */
export class LogicalLine {
  readonly source: SourceText;
  readonly text: string;
  /** Comment lines directly above. */
  readonly comments: readonly Comment[];
  /** The blank lines that interrupt the instruction. */
  readonly blankLines: readonly Span[];
  /** Of the last line of the file that was read for it; counts from 1. */
  readonly endLine: number;
  readonly startOffset: number;
  /** Offset in the file of the end of the last line that says something. */
  readonly endOffset: number;
  readonly #pieces: Pieces;

  constructor(source: SourceText, pieces: Pieces, around: Around) {
    this.source = source;
    this.#pieces = pieces;
    this.text = pieces.text();
    this.comments = around.comments;
    this.blankLines = around.blankLines;
    this.endLine = around.endLine;
    this.startOffset = pieces.toSource(0);
    this.endOffset = pieces.end;
  }

  /** Of a stretch of `text`, given by offsets. What was taken out between its ends is inside the span. */
  span(start: number, end: number): Span {
    return new OffsetSpan(
      this.source,
      this.#pieces.toSource(start),
      end > start ? this.#pieces.toSource(end - 1) + 1 : this.#pieces.toSource(start),
    );
  }

  /** From the first character to an offset in the file. */
  spanTo(sourceEnd: number): Span {
    return new OffsetSpan(this.source, this.startOffset, sourceEnd);
  }
}

interface Around {
  readonly comments: readonly Comment[];
  readonly blankLines: readonly Span[];
  readonly endLine: number;
}

/** The stretches of the file that make up a logical line. */
export class Pieces {
  readonly #source: string;
  readonly #start: number;
  /** The end of the last stretch. */
  end: number;
  #length: number;
  /**
   * Where the second and later stretches start in the logical line, and in the file. Two arrays of numbers: there may be
   * 100,000s; and most lines have none.
   */
  #more: { readonly textStarts: number[]; readonly sourceStarts: number[] } | undefined;

  constructor(source: string, start: number, end: number) {
    this.#source = source;
    this.#start = start;
    this.end = end;
    this.#length = end - start;
    this.#more = undefined;
  }

  add(start: number, end: number): void {
    this.#more ??= { textStarts: [], sourceStarts: [] };
    this.#more.textStarts.push(this.#length);
    this.#more.sourceStarts.push(start);
    this.#length += end - start;
    this.end = end;
  }

  text(): string {
    // The usual line shares the file's memory.
    if (this.#more === undefined) return this.#source.slice(this.#start, this.end);
    const { textStarts, sourceStarts } = this.#more;
    const texts = [this.#source.slice(this.#start, this.#start + (textStarts[0] ?? 0))];
    for (let i = 0; i < sourceStarts.length; i += 1) {
      const start = sourceStarts[i] ?? 0;
      const length = (textStarts[i + 1] ?? this.#length) - (textStarts[i] ?? 0);
      texts.push(this.#source.slice(start, start + length));
    }
    return texts.join("");
  }

  toSource(offset: number): number {
    if (this.#more === undefined) return this.#start + offset;
    const { textStarts, sourceStarts } = this.#more;
    let low = -1;
    let high = textStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((textStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return low === -1 ? this.#start + offset : (sourceStarts[low] ?? 0) + offset - (textStarts[low] ?? 0);
  }
}

/** Lines and columns are worked out when somebody asks: most spans of a file are never shown. */
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
