/** Letters, digits and `_` of any script, as in Docker's frontend. */
const NAME = /[\p{L}\p{Nd}_]+/uy;
const DIGITS = /\p{Nd}+/uy;
const SPECIAL_PARAMETERS = "@*#?-$!0";

/**
 * Reads the variable name that begins at an offset; empty when none does. `$10` is the name "10", but `$1a` is "1"
 * followed by "a".
 */
export function nameAt(text: string, offset: number): string {
  const first = text.charCodeAt(offset);
  let end = offset;
  if (isDigit(first)) while (isDigit(text.charCodeAt(end))) end += 1;
  else while (isAsciiNamePart(text.charCodeAt(end))) end += 1;
  // Unicode's classes take most of a millisecond to set up, and nearly all names are ASCII.
  if (text.charCodeAt(end) > 0x7f) return unicodeNameAt(text, offset);
  if (end > offset) return text.slice(offset, end);
  const char = text.charAt(offset);
  return char !== "" && SPECIAL_PARAMETERS.includes(char) ? char : "";
}

function unicodeNameAt(text: string, offset: number): string {
  DIGITS.lastIndex = offset;
  NAME.lastIndex = offset;
  return DIGITS.exec(text)?.[0] ?? NAME.exec(text)?.[0] ?? "";
}

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

function isAsciiNamePart(unit: number): boolean {
  return (unit >= 0x61 && unit <= 0x7a) || (unit >= 0x41 && unit <= 0x5a) || unit === 0x5f || isDigit(unit);
}
