import { textWidth } from "../../src/progress/width.ts";

/** A cell of the window: a character and the parameters of the colour it has, `1;31`. */
export interface Cell {
  readonly text: string;
  readonly style: string;
}

/** A terminal window as far as kiln and a shell use one, with colours. */
export class Terminal {
  readonly #columns: number;
  readonly #lines: Cell[][] = [[]];
  #row = 0;
  #column = 0;
  #style = "";

  constructor(columns: number) {
    this.#columns = columns;
  }

  write(text: string): void {
    // oxlint-disable-next-line no-control-regex -- escape sequences are what a terminal reads
    for (const [piece, sequence, digits, letter] of text.matchAll(/(\u001b\[(\??[\d;]*)([A-Za-z]))|\P{M}\p{M}*/gu)) {
      if (sequence === undefined) this.#put(piece);
      else this.#obey(letter ?? "", digits ?? "");
    }
  }

  /** Copies what is shown. */
  get lines(): readonly (readonly Cell[])[] {
    return this.#lines.map((line) => [...line]);
  }

  #put(piece: string): void {
    if (piece === "\r") this.#column = 0;
    else if (piece === "\n") this.#row += 1;
    else if (!/\p{Cc}/u.test(piece)) this.#print(piece);
    this.#line();
  }

  #print(piece: string): void {
    const width = textWidth(piece);
    if (this.#column + width > this.#columns) {
      this.#row += 1;
      this.#column = 0;
    }
    const line = this.#line();
    while (line.length < this.#column) line.push({ text: " ", style: "" });
    line[this.#column] = { text: piece, style: this.#style };
    this.#column += width;
  }

  #line(): Cell[] {
    while (this.#lines.length <= this.#row) this.#lines.push([]);
    return this.#lines[this.#row] ?? [];
  }

  #obey(letter: string, digits: string): void {
    const count = Number(digits) || 1;
    if (letter === "m") this.#style = digits === "0" ? "" : digits;
    else if (letter === "A") this.#row = Math.max(0, this.#row - count);
    else if (letter === "B") this.#row += count;
    else if (letter === "G") this.#column = count - 1;
    else if (letter === "K") this.#line().splice(this.#column);
    else if (letter === "J") {
      this.#line().splice(this.#column);
      this.#lines.splice(this.#row + 1);
    }
  }
}
