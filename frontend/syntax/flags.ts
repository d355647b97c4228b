import { isSpace, skipSpaces } from "../words/spaces.ts";
import type { FlagLexeme } from "./ast.ts";

/**
 * Reads the `--name=value` words at the beginning of `text[from, to)`. Quotes and backslashes (whatever the escape
 * directive says) are removed, and white space inside quotes is kept. A lone `--` ends the flags, as does any word
 * without dashes.
 */
export function readFlags(
  text: string,
  from: number,
  end: number,
): { readonly flags: readonly FlagLexeme[]; readonly end: number } {
  let at = skipSpaces(text, from, end);
  if (!text.startsWith("--", at)) return { flags: NONE, end: at };
  const flags: FlagLexeme[] = [];
  while (text.startsWith("--", at) && at + 2 <= end) {
    const flag = readFlag(text, at, end);
    at = skipSpaces(text, flag.end, end);
    if (flag.text === "--") break;
    flags.push(flag);
  }
  return { flags, end: at };
}

const NONE: readonly FlagLexeme[] = [];

function readFlag(text: string, start: number, limit: number): FlagLexeme {
  let word = "";
  let quote = "";
  let valueStart: number | undefined;
  let runStart = start;
  let at = start;
  for (; at < limit; at += 1) {
    const char = text[at] ?? "";
    if (quote === "" && isSpace(text.charCodeAt(at))) break;
    if (char === "=" && valueStart === undefined) valueStart = at + 1;
    const isQuote = quote === "" ? char === "'" || char === '"' : char === quote;
    if (!isQuote && char !== "\\") continue;
    word += text.slice(runStart, at);
    if (isQuote) quote = quote === "" ? char : "";
    else at += 1; // the next character stands for itself
    runStart = isQuote ? at + 1 : at;
  }
  const end = Math.min(at, limit);
  word += text.slice(Math.min(runStart, end), end);
  const equals = word.indexOf("=");
  const name = word.slice(2, equals === -1 ? undefined : equals);
  const value = equals === -1 ? undefined : { text: word.slice(equals + 1), start: valueStart ?? end, end };
  return { text: word, start, end, name, value };
}
