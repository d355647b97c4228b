import type { Lexeme } from "./ast.ts";

export type JsonArray =
  | { readonly kind: "strings"; readonly strings: readonly Lexeme[] }
  /** JSON, but not of strings only: an error. Text that is not JSON at all is a shell command. */
  | { readonly kind: "mixed" }
  | { readonly kind: "none" };

/** Reads `text[start, end)` as the JSON form of an instruction. Elements keep their places, quotes included. */
export function readJsonArray(text: string, start: number, end: number): JsonArray {
  if (text[start] !== "[") return { kind: "none" };
  const values = parse(text.slice(start, end));
  if (!Array.isArray(values)) return { kind: "none" };
  // Go reads numbers as float64 and fails on those that do not fit; the text is then a shell command.
  if (values.some((value) => value === Infinity || value === -Infinity)) return { kind: "none" };
  if (!values.every((value) => typeof value === "string")) return { kind: "mixed" };
  const strings: Lexeme[] = [];
  let at = start;
  for (const value of values) {
    // JSON.parse has accepted an array of strings, so between quotes there are only commas and blanks.
    const open = text.indexOf('"', at);
    at = open + 1;
    while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    at += 1;
    // Go replaces unpaired surrogates, which are not characters.
    strings.push({ text: value.toWellFormed(), start: open, end: at });
  }
  return { kind: "strings", strings };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
