import { textWidth } from "./width.ts";

/**
 * A terminal as far as the live display uses one: it wraps lines, scrolls, and obeys the sequences that move the cursor
 * or erase. For tests, which look at what a person would see.
 */
export class Screen {
  readonly #columns: number;
  readonly #rows: number;
  /** All lines, those that have scrolled off included; the window shows the last ones. */
  readonly #lines: string[][] = [[]];
  #top = 0;
  #row = 0;
  #column = 0;

  constructor(size: { readonly columns: number; readonly rows: number }) {
    this.#columns = size.columns;
    this.#rows = size.rows;
  }

  /** @throws for a control character or a sequence that the display does not use */
  write(text: string): void {
    // oxlint-disable-next-line no-control-regex -- escape sequences are what a terminal reads
    for (const [piece, sequence, digits, letter] of text.matchAll(/(\u001b\[(\??[\d;]*)([A-Za-z]))|\P{M}\p{M}*/gu)) {
      if (sequence === undefined) this.#put(piece);
      else this.#obey(letter ?? "", digits ?? "");
    }
  }

  /** Returns all lines without blanks at their ends, and without empty ones at the bottom. */
  get text(): string {
    return this.#lines
      .map((line) =>
        Array.from(line, (cell) => cell ?? " ")
          .join("")
          .trimEnd(),
      )
      .join("\n")
      .trimEnd();
  }

  #put(piece: string): void {
    if (piece === "\n") return this.#newLine();
    if (piece === "\r") {
      this.#column = 0;
      return;
    }
    const width = textWidth(piece);
    if (/\p{Cc}/u.test(piece)) throw new Error(`The display wrote ${JSON.stringify(piece)}`);
    // The cursor stays behind the last column until the next character.
    if (this.#column + width > this.#columns) this.#newLine();
    const line = this.#line();
    line[this.#column] = piece;
    if (width === 2) line[this.#column + 1] = "";
    this.#column += width;
  }

  #newLine(): void {
    this.#column = 0;
    this.#row += 1;
    if (this.#row - this.#top >= this.#rows) this.#top += 1;
    this.#line();
  }

  #line(): string[] {
    while (this.#lines.length <= this.#row) this.#lines.push([]);
    return this.#lines[this.#row] ?? [];
  }

  #obey(letter: string, digits: string): void {
    const count = Number(digits) || 1;
    switch (letter) {
      // Not beyond the top of the window.
      case "A":
        this.#row = Math.max(this.#top, this.#row - count);
        break;
      case "G":
        this.#column = Math.min(count, this.#columns) - 1;
        break;
      case "K":
        this.#line().length = Math.min(this.#line().length, this.#column);
        break;
      case "J":
        this.#line().length = Math.min(this.#line().length, this.#column);
        this.#lines.length = this.#row + 1;
        break;
      // Colours, and the cursor hidden or shown.
      case "m":
      case "h":
      case "l":
        break;
      default:
        throw new Error(`The display wrote the sequence ESC [ ${digits} ${letter}`);
    }
  }
}
