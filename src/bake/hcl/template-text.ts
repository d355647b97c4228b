import type { SourceText } from "../../../lib/core/span.ts";
import type { BuildError } from "../../../lib/core/errors.ts";
import { syntaxFailure } from "./failure.ts";

/** A piece of a template. Behind a sequence's beginning, the caller reads its code and says where it ended. */
export type RawPart =
  | { readonly kind: "text"; readonly start: number; readonly end: number; readonly text: string }
  | {
      readonly kind: "interpolation" | "control";
      readonly start: number;
      readonly end: number;
      readonly trims: boolean;
    }
  | { readonly kind: "close"; readonly start: number; readonly end: number };

/** The pieces of a here-document; `next` takes the offset at which reading goes on. */
export type HereDocument = Iterator<RawPart, void, number>;

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\" };
const JSON_ESCAPES: Readonly<Record<string, string>> = { ...ESCAPES, b: "\b", f: "\f", "/": "/" };

/**
 * Reads a quoted text that begins at an offset.
 * @throws {BuildError} `bake/syntax`
 */
export function* readQuoted(
  source: SourceText,
  start: number,
  dialect: "hcl" | "json",
): Iterator<RawPart, void, number> {
  const { text } = source;
  let at = start + 1;
  let piece = "";
  let from = at;
  for (;;) {
    const character = text[at];
    if (character === undefined || character === "\n") throw unfinished(source, start, at);
    const sequence = sequenceAt(text, at);
    if (sequence?.kind === "escaped") {
      piece += sequence.text;
      at += 3;
    } else if (sequence !== undefined || character === '"') {
      if (piece !== "") yield { kind: "text", start: from, end: at, text: piece };
      if (sequence === undefined) {
        yield { kind: "close", start: at, end: at + 1 };
        return;
      }
      at = yield { ...sequence, start: at, end: at + sequence.length };
      [piece, from] = ["", at];
    } else if (character === "\\") {
      const escape = escapeAt(source, at, dialect === "json" ? JSON_ESCAPES : ESCAPES);
      piece += escape.text;
      at += escape.length;
    } else {
      piece += character;
      at += 1;
    }
  }
}

/**
 * Reads a here-document: `start` is the place of its `<<`, `bodyStart` the line behind it. `<<-` takes the common indentation
 * away.
 * @throws {BuildError} `bake/syntax`
 */
export function* readHereDocument(source: SourceText, start: number, bodyStart: number): HereDocument {
  const { text } = source;
  const [, dash = "", name = ""] = /^<<(-?)([^\s]+)/.exec(text.slice(start, bodyStart)) ?? [];
  const end = endLine(text, bodyStart, name);
  if (end === undefined) {
    throw syntaxFailure(`Cannot read a here-document: no line is ${name}`, { source, start, end: bodyStart });
  }
  const indentation = dash === "" ? 0 : commonIndentation(text.slice(bodyStart, end.start));
  let at = bodyStart;
  let piece = "";
  let from = at;
  while (at < end.start) {
    if (at === bodyStart || text[at - 1] === "\n") at += Math.min(indentation, blanksAt(text, at));
    if (at >= end.start) break;
    const sequence = sequenceAt(text, at);
    if (sequence?.kind === "escaped") {
      piece += sequence.text;
      at += 3;
    } else if (sequence !== undefined) {
      if (piece !== "") yield { kind: "text", start: from, end: at, text: piece };
      at = yield { ...sequence, start: at, end: at + sequence.length };
      [piece, from] = ["", at];
    } else {
      if (text[at] !== "\r" || text[at + 1] !== "\n") piece += text[at] ?? "";
      at += 1;
    }
  }
  if (piece !== "") yield { kind: "text", start: from, end: end.start, text: piece };
  yield { kind: "close", start: end.start, end: end.end };
}

type Sequence =
  | { readonly kind: "escaped"; readonly text: string }
  | { readonly kind: "interpolation" | "control"; readonly length: number; readonly trims: boolean };

/** Recognises `${`, `%{` and their doubled forms, which stand for themselves. */
function sequenceAt(text: string, at: number): Sequence | undefined {
  const sign = text[at];
  if (sign !== "$" && sign !== "%") return undefined;
  if (text[at + 1] === sign && text[at + 2] === "{") return { kind: "escaped", text: `${sign}{` };
  if (text[at + 1] !== "{") return undefined;
  const trims = text[at + 2] === "~";
  return { kind: sign === "$" ? "interpolation" : "control", length: trims ? 3 : 2, trims };
}

function escapeAt(
  source: SourceText,
  at: number,
  simple: Readonly<Record<string, string>>,
): { readonly text: string; readonly length: number } {
  const rest = source.text.slice(at + 1, at + 10);
  const letter = rest[0] ?? "";
  const known = Object.hasOwn(simple, letter) ? simple[letter] : undefined;
  if (known !== undefined) return { text: known, length: 2 };
  const [whole, short, long] = /^(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(rest) ?? [];
  const code = Number.parseInt(short ?? long ?? "", 16);
  if (whole !== undefined && code <= 0x10ffff) {
    return {
      text: short === undefined ? String.fromCodePoint(code) : String.fromCharCode(code),
      length: 1 + whole.length,
    };
  }
  throw syntaxFailure(
    `Cannot read the escape \\${letter}`,
    { source, start: at, end: at + 2 },
    'escapes are \\n, \\r, \\t, \\", \\\\, \\uNNNN and \\UNNNNNNNN; a backslash itself is \\\\',
  );
}

function unfinished(source: SourceText, start: number, at: number): BuildError {
  return syntaxFailure(
    "Cannot read a text: its line ends before its closing quote",
    { source, start, end: Math.max(at, start + 1) },
    "longer texts are here-documents: <<EOT",
  );
}

/** Finds the line that ends a here-document. */
function endLine(
  text: string,
  from: number,
  name: string,
): { readonly start: number; readonly end: number } | undefined {
  for (let start = from; start < text.length;) {
    const newline = text.indexOf("\n", start);
    const stop = newline === -1 ? text.length : newline;
    const line = text.slice(start, stop);
    if (line.trim() === name) return { start, end: start + line.replace(/\r$/, "").length };
    if (newline === -1) return undefined;
    start = newline + 1;
  }
  return undefined;
}

function commonIndentation(body: string): number {
  const lines = body.split("\n").filter((line) => line.trim() !== "");
  return lines.length === 0 ? 0 : Math.min(...lines.map((line) => blanksAt(line, 0)));
}

function blanksAt(text: string, at: number): number {
  let end = at;
  while (text[end] === " " || text[end] === "\t") end += 1;
  return end - at;
}
