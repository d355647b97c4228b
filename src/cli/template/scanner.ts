import { templateError } from "./failure.ts";

export type Token = { readonly position: number; readonly end: number; readonly isAfterSpace: boolean } & (
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "open" | "close" | "end" }
  | { readonly kind: "field" | "variable" | "word"; readonly name: string }
  | { readonly kind: "literal"; readonly value: string | number }
  | { readonly kind: "sign"; readonly sign: string }
);

/** The shapes of tokens in an action, tried in this order. */
const SHAPES: readonly (readonly [
  kind: "field" | "variable" | "word" | "number" | "string" | "raw" | "char" | "sign",
  RegExp,
])[] = [
  ["number", /[+-]?(?:0[xX][\da-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)/y],
  ["field", /\.[\p{L}_][\p{L}\p{Nd}_]*/uy],
  ["variable", /\$(?:[\p{L}_][\p{L}\p{Nd}_]*)?/uy],
  ["word", /[\p{L}_][\p{L}\p{Nd}_]*/uy],
  ["string", /"(?:[^"\\\n]|\\.)*"/y],
  ["raw", /`[^`]*`/y],
  ["char", /'(?:[^'\\\n]|\\.)[^'\n]*'/y],
  ["sign", /:=|[=|(),.]/y],
];

const SPACE = /\s+/y;

/**
 * Splits a template into its texts and the tokens of its actions.
 * @throws {BuildError} `cli/template`
 */
export function scan(text: string): Token[] {
  const tokens: Token[] = [];
  let position = 0;
  let isTrimmed = false;
  for (;;) {
    const open = text.indexOf("{{", position);
    const isLast = open < 0;
    const trimsBefore = !isLast && /^\{\{-\s/.test(text.slice(open, open + 4));
    let between = text.slice(position, isLast ? undefined : open);
    if (isTrimmed) between = between.replace(/^[ \t\r\n]+/, "");
    if (trimsBefore) between = between.replace(/[ \t\r\n]+$/, "");
    if (between !== "") tokens.push({ kind: "text", text: between, position, end: position, isAfterSpace: false });
    if (isLast) break;
    const start = open + (trimsBefore ? 3 : 2);
    const closed = comment(text, start) ?? action(text, open, start, tokens);
    ({ position, isTrimmed } = closed);
  }
  tokens.push({ kind: "end", position: text.length, end: text.length, isAfterSpace: false });
  return tokens;
}

interface Closed {
  /** Offset of the text after the action. */
  readonly position: number;
  /** True when the action's end trims the blanks after it. */
  readonly isTrimmed: boolean;
}

function comment(text: string, start: number): Closed | undefined {
  const found = /\s*\/\*/y;
  found.lastIndex = start;
  if (!found.test(text)) return undefined;
  const end = text.indexOf("*/", found.lastIndex);
  if (end < 0) throw templateError(text, start, "a comment does not end");
  const close = closing(text, end + 2);
  if (close === undefined) throw templateError(text, end, "a comment is to fill its whole action");
  return close;
}

/** Reads `}}`, or ` -}}` that trims what follows. */
function closing(text: string, position: number): Closed | undefined {
  if (text.startsWith("}}", position)) return { position: position + 2, isTrimmed: false };
  const trimmed = /\s-\}\}/y;
  trimmed.lastIndex = position;
  return trimmed.test(text) ? { position: trimmed.lastIndex, isTrimmed: true } : undefined;
}

function action(text: string, open: number, start: number, tokens: Token[]): Closed {
  tokens.push({ kind: "open", position: open, end: start, isAfterSpace: false });
  let position = start;
  for (;;) {
    const isAfterSpaceStart = position;
    const trimming = closing(text, position);
    SPACE.lastIndex = position;
    if (trimming === undefined && SPACE.test(text)) position = SPACE.lastIndex;
    const isAfterSpace = position > isAfterSpaceStart;
    const closed = trimming ?? closing(text, position);
    if (closed !== undefined) {
      tokens.push({ kind: "close", position, end: closed.position, isAfterSpace });
      return closed;
    }
    if (position >= text.length) throw templateError(text, open, "an action does not end: }} is missing");
    const token = next(text, position, isAfterSpace);
    tokens.push(token);
    position = token.end;
  }
}

function next(text: string, position: number, isAfterSpace: boolean): Token {
  for (const [shape, pattern] of SHAPES) {
    pattern.lastIndex = position;
    const found = pattern.exec(text)?.[0];
    if (found === undefined) continue;
    const place = { position, end: position + found.length, isAfterSpace };
    switch (shape) {
      case "field":
        return { kind: shape, name: found.slice(1), ...place };
      case "variable":
      case "word":
        return { kind: shape, name: found, ...place };
      case "number":
        return { kind: "literal", value: numberOf(text, position, found), ...place };
      case "raw":
        return { kind: "literal", value: found.slice(1, -1), ...place };
      case "string":
        return { kind: "literal", value: unescape(text, position, found.slice(1, -1)), ...place };
      case "char":
        return { kind: "literal", value: charOf(text, position, found), ...place };
      case "sign":
        return { kind: shape, sign: found, ...place };
    }
  }
  const isString = text[position] === '"' || text[position] === "`" || text[position] === "'";
  throw templateError(
    text,
    position,
    isString
      ? "a string does not end"
      : `${JSON.stringify(String.fromCodePoint(text.codePointAt(position) ?? 0))} does not belong here`,
  );
}

function numberOf(text: string, position: number, found: string): number {
  const digits = found.replaceAll("_", "");
  const sign = digits.startsWith("-") ? -1 : 1;
  const value = Number(digits.replace(/^[+-]/, ""));
  if (!Number.isFinite(value)) throw templateError(text, position, `${found} is not a number`);
  return sign * value;
}

function charOf(text: string, position: number, found: string): number {
  const inside = unescape(text, position, found.slice(1, -1));
  const code = inside.codePointAt(0) ?? 0;
  if (inside !== String.fromCodePoint(code)) throw templateError(text, position, `${found} is more than one character`);
  return code;
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
};

/** Resolves Go's escapes in the inside of a string. */
function unescape(text: string, position: number, inside: string): string {
  return inside.replaceAll(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{3})|(.))/g,
    (whole: string, ...groups: readonly (string | undefined)[]) => {
      const [x, u, U, octal, letter] = groups;
      const hex = x ?? u ?? U;
      const code =
        hex === undefined ? (octal === undefined ? undefined : Number.parseInt(octal, 8)) : Number.parseInt(hex, 16);
      if (code !== undefined && code <= 0x10ffff) return String.fromCodePoint(code);
      const escaped = letter === undefined ? undefined : ESCAPES[letter];
      if (escaped === undefined) throw templateError(text, position, `${whole} is not an escape that Go knows`);
      return escaped;
    },
  );
}
