/**
 * The characters of Go's unicode.IsSpace, for use inside a regular expression's brackets. JavaScript's `\s` differs.
 */
const SPACE = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const ONE = new RegExp(`^[${SPACE}]$`, "u");

/** Tells whether a UTF-16 code unit is white space. All white space lies in the basic plane. */
export function isSpace(unit: number): boolean {
  if (unit <= 0x20) return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);
  return unit >= 0x85 && ONE.test(String.fromCharCode(unit));
}

/** Finds the first character in `[from, end)` that is not white space; `end` without any. */
export function skipSpaces(text: string, from: number, end: number = text.length): number {
  let at = from;
  while (at < end && isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

/** Finds the offset after the last character in `[from, end)` that is not white space. */
export function trimEndOffset(text: string, from: number, end: number): number {
  let at = end;
  while (at > from && isSpace(text.charCodeAt(at - 1))) at -= 1;
  return at;
}

/** Trims as Go's strings.TrimSpace does. */
export function trimSpace(text: string): string {
  const start = skipSpaces(text, 0);
  return text.slice(start, trimEndOffset(text, start, text.length));
}
