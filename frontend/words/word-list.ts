import { isSpace } from "./spaces.ts";

/** Collects words; only white space given to `addSplit` separates them. Empty words do not count. */
export class WordList {
  readonly #words: string[];
  readonly #starts: number[];
  #current = "";
  #start = 0;

  constructor(words: string[], starts: number[]) {
    this.#words = words;
    this.#starts = starts;
  }

  add(text: string, at: number): void {
    if (this.#current === "") this.#start = at;
    this.#current += text;
  }

  addSplit(text: string, at: number): void {
    let start = 0;
    for (let i = 0; i < text.length; i += 1) {
      if (!isSpace(text.charCodeAt(i))) continue;
      this.add(text.slice(start, i), at + start);
      this.finish();
      start = i + 1;
    }
    this.add(text.slice(start), at + start);
  }

  finish(): void {
    if (this.#current !== "") {
      this.#words.push(this.#current);
      this.#starts.push(this.#start);
    }
    this.#current = "";
  }
}
