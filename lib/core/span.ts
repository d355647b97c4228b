/** A place in a text. `line` counts from 1, `column` from 1 in UTF-16 code units, `offset` from 0 in UTF-16 code units. */
export interface Position {
  readonly line: number;
  readonly column: number;
  readonly offset: number;
}

/** A stretch of one text: `end` is the position after the last character. */
export interface Span {
  readonly source: SourceText;
  readonly start: Position;
  readonly end: Position;
}

/** A text with a display name: a Dockerfile, a .dockerignore. Compared by identity. */
export class SourceText {
  /** Display name: `Dockerfile`, `services/api/Dockerfile`, `<stdin>`. */
  readonly name: string;
  readonly text: string;
  /** Ascending offsets of the characters that replace bytes which are not UTF-8. */
  readonly undecoded: readonly number[];
  #lineStarts: readonly number[] | undefined;

  constructor(name: string, text: string, undecoded: readonly number[] = []) {
    this.name = name;
    this.text = text;
    this.undecoded = undecoded;
  }

  /** Lists the offsets at which lines begin; only "\n" ends a line. */
  get lineStarts(): readonly number[] {
    if (this.#lineStarts === undefined) {
      const starts = [0];
      for (let at = this.text.indexOf("\n"); at !== -1; at = this.text.indexOf("\n", at + 1)) starts.push(at + 1);
      this.#lineStarts = starts;
    }
    return this.#lineStarts;
  }

  /** Returns the text of a line (counted from 1), without its line end; empty past the end. */
  line(number: number): string {
    const start = this.lineStarts[number - 1];
    if (start === undefined) return "";
    const end = this.lineStarts[number] ?? this.text.length + 1;
    return this.text.slice(start, end - 1).replace(/\r$/, "");
  }

  /** Finds the position of an offset by binary search. Offsets past the end give the end. */
  positionAt(offset: number): Position {
    const bounded = Math.max(0, Math.min(offset, this.text.length));
    const starts = this.lineStarts;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= bounded) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: bounded - (starts[low] ?? 0) + 1, offset: bounded };
  }

  span(startOffset: number, endOffset: number): Span {
    return { source: this, start: this.positionAt(startOffset), end: this.positionAt(endOffset) };
  }
}
