import { isSpace } from "./spaces.ts";
import type { Escape } from "./escape.ts";

/** A stretch of the text that was split: `start` is the offset of its first character, `end` is one past its last. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/**
 * The words of an ENV, LABEL or ARG line: white space separates, unless it is quoted or escaped. Quotes and escapes are
 * kept, because they are taken off when the word is expanded. An escape within single quotes is an ordinary character.
 * Offsets count from the beginning of `text`, of which only `[from, to)` is read. An open quote reaches to the end: expansion reports it.
 */
export function splitWords(text: string, escape: Escape, from = 0, to: number = text.length): readonly Stretch[] {
  const words: Stretch[] = [];
  let start = -1;
  let quote = "";
  for (let at = from; at < to; at += 1) {
    const char = text[at] ?? "";
    if (quote === "" && isSpace(text.charCodeAt(at))) {
      if (start !== -1) words.push({ start, end: at });
      start = -1;
      continue;
    }
    if (start === -1) start = at;
    if (char === escape && quote !== "'") at += 1;
    else if (quote === "") quote = char === '"' || char === "'" ? char : "";
    else if (char === quote) quote = "";
  }
  if (start !== -1) words.push({ start, end: to });
  return words;
}
