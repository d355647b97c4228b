/** A piece of a line in one style; `classes` are of the page's own few. */
export interface Piece {
  readonly text: string;
  readonly classes: readonly string[];
}

interface Style {
  foreground: number | undefined;
  background: number | undefined;
  readonly marks: Set<Mark>;
}

type Mark = "bold" | "dim" | "italic" | "underline" | "strike" | "inverse";

const ON: Readonly<Record<number, Mark>> = {
  1: "bold",
  2: "dim",
  3: "italic",
  4: "underline",
  7: "inverse",
  9: "strike",
};
const OFF: Readonly<Record<number, readonly Mark[]>> = {
  22: ["bold", "dim"],
  23: ["italic"],
  24: ["underline"],
  27: ["inverse"],
  29: ["strike"],
};

/**
 * Reads coloured output line by line; a style lasts until it is reset. Only colours and marks are known (`ESC [ ... m`):
 * the rest was taken out before. Colours beyond the sixteen become the nearest of them.
 */
export class ColouredText {
  #style: Style = plain();

  /** Reads one line. What a carriage return overwrote is not there. */
  line(text: string): readonly Piece[] {
    const pieces: Piece[] = [];
    const shown = text.slice(text.replace(/\r+$/, "").lastIndexOf("\r") + 1).replace(/\r+$/, "");
    // Styles that an overwritten part began still hold.
    this.#readStyles(text.slice(0, Math.max(0, text.length - shown.length)));
    let from = 0;
    for (const match of shown.matchAll(SEQUENCE)) {
      this.#add(pieces, shown.slice(from, match.index));
      this.#apply(match[1] ?? "");
      from = match.index + match[0].length;
    }
    this.#add(pieces, shown.slice(from));
    return pieces;
  }

  #readStyles(text: string): void {
    for (const match of text.matchAll(SEQUENCE)) this.#apply(match[1] ?? "");
  }

  #add(pieces: Piece[], text: string): void {
    if (text === "") return;
    const { foreground, background, marks } = this.#style;
    const colours = [
      ...(foreground === undefined ? [] : [`f${foreground}`]),
      ...(background === undefined ? [] : [`b${background}`]),
    ];
    pieces.push({ text, classes: [...colours, ...marks] });
  }

  #apply(parameters: string): void {
    const codes = parameters.split(/[;:]/).map((code) => (code === "" ? 0 : Number(code)));
    for (let index = 0; index < codes.length; index += 1) {
      const code = codes[index] ?? 0;
      if (code === 38 || code === 48) {
        const { colour, used } = extended(codes.slice(index + 1));
        index += used;
        if (code === 38) this.#style.foreground = colour;
        else this.#style.background = colour;
      } else this.#one(code);
    }
  }

  #one(code: number): void {
    const style = this.#style;
    const on = ON[code];
    if (code === 0) this.#style = plain();
    else if (on !== undefined) style.marks.add(on);
    else if (OFF[code] !== undefined) for (const mark of OFF[code]) style.marks.delete(mark);
    else if (code >= 30 && code <= 37) style.foreground = code - 30;
    else if (code === 39) style.foreground = undefined;
    else if (code >= 40 && code <= 47) style.background = code - 40;
    else if (code === 49) style.background = undefined;
    else if (code >= 90 && code <= 97) style.foreground = code - 82;
    else if (code >= 100 && code <= 107) style.background = code - 92;
  }
}

// oxlint-disable-next-line no-control-regex -- the beginning of a sequence is a control character
const SEQUENCE = /\u001b\[([0-9;:]*)m/g;

function plain(): Style {
  return { foreground: undefined, background: undefined, marks: new Set() };
}

/** Reads `5;N` or `2;R;G;B` after 38 or 48. */
function extended(codes: readonly number[]): { readonly colour: number | undefined; readonly used: number } {
  const [kind, first = 0, second = 0, third = 0] = codes;
  if (kind === 5) return { colour: indexed(first), used: 2 };
  if (kind === 2) return { colour: nearest(first, second, third), used: 4 };
  return { colour: undefined, used: codes.length };
}

/** Maps the palette of 256: sixteen, a cube of six by six by six, and greys. */
function indexed(index: number): number | undefined {
  if (!(index >= 0 && index <= 255)) return undefined;
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return nearest(grey, grey, grey);
  }
  const level = (value: number): number => (value === 0 ? 0 : 55 + value * 40);
  const cube = index - 16;
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

const SIXTEEN: readonly (readonly [number, number, number])[] = [
  ...([
    [0, 0, 0],
    [170, 0, 0],
    [0, 170, 0],
    [170, 110, 0],
    [0, 0, 170],
    [170, 0, 170],
    [0, 170, 170],
    [170, 170, 170],
  ] as const),
  ...([
    [85, 85, 85],
    [255, 85, 85],
    [85, 255, 85],
    [255, 255, 85],
    [85, 85, 255],
    [255, 85, 255],
    [85, 255, 255],
  ] as const),
  [255, 255, 255],
];

function nearest(red: number, green: number, blue: number): number {
  const distances = SIXTEEN.map(([r, g, b]) => (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2);
  return distances.indexOf(Math.min(...distances));
}
