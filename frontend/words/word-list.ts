import { isSpace } from "./spaces.ts";

/**
 * A list of words under construction. Only white space given to `addSplit` separates them. Empty words do not count.
 */
export class WordList {
  readonly #words: string[];
  readonly #starts: number[];
  #current = "";
  #start = 0;

  constructor(words: string[], starts: number[]) {
    this.#words = words;
    this.#starts = starts;
  }

  add(text: string, offset: number): void {
    if (this.#current === "") this.#start = offset;
    this.#current += text;
  }

  addSplit(text: string, offset: number): void {
    let start = 0;
    for (let i = 0; i < text.length; i += 1) {
      if (!isSpace(text.charCodeAt(i))) continue;
      this.add(text.slice(start, i), offset + start);
      this.finish();
      start = i + 1;
    }
    this.add(text.slice(start), offset + start);
  }

  finish(): void {
    if (this.#current !== "") {
      this.#words.push(this.#current);
      this.#starts.push(this.#start);
    }
    this.#current = "";
  }
}
