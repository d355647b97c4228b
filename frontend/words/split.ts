import { isSpace } from "./spaces.ts";
import type { Escape } from "./escape.ts";

/** A stretch of the split text: `start` is the offset of its first character, `end` is one past its last. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/**
 * Splits an ENV, LABEL or ARG line into words at white space that is neither quoted nor escaped. Quotes and escapes
 * stay, because expansion removes them. An escape within single quotes is an ordinary character. Offsets count from the
 * beginning of `text`, of which only `[from, end)` is read. An open quote reaches to the end: expansion reports it.
 */
export function splitWords(text: string, escape: Escape, from = 0, limit: number = text.length): readonly Stretch[] {
  const words: Stretch[] = [];
  let start = -1;
  let quote = "";
  for (let at = from; at < limit; at += 1) {
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
  if (start !== -1) words.push({ start, end: limit });
  return words;
}
