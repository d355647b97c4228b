import { BuildError } from "../errors.ts";

/**
 * Compiles a pattern of Go's `filepath.Match` on Unix for many names. COPY and ADD sources with wildcards mean this,
 * and an ignore pattern must parse as such. `*` and `?` never match `/`; a class may. The whole name has to match. It
 * takes at most pattern x name steps.
 *
 * Go works on bytes and decodes a rune only for `?` and classes. So do we, on a string with one character per byte,
 * because a name from an image need not be UTF-8.
 * @throws {BuildError} `pattern/malformed`, also when the malformed part would never be reached
 */
export function compileGoPattern(pattern: string): (name: string) => boolean {
  const chunks = parse(pattern);
  return (name) => matchChunks(chunks, toBytes(name));
}

/** Tells whether a COPY source is a pattern. A backslash protects the next character from being special. */
export function hasWildcards(path: string): boolean {
  for (let at = 0; at < path.length; at += 1) {
    const char = path[at];
    if (char === "\\") at += 1;
    else if (char === "*" || char === "?" || char === "[") return true;
  }
  return false;
}

/** The part of a pattern between stars. */
interface Chunk {
  /** True when a star precedes it. */
  readonly star: boolean;
  readonly items: readonly Item[];
}

type Item =
  | { readonly kind: "byte"; readonly code: number }
  | { readonly kind: "any" }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly Range[] };

/** A range of code points, both inclusive. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

const SLASH = 0x2f;
const ANY: Item = { kind: "any" };

function parse(pattern: string): Chunk[] {
  const chunks: Chunk[] = [];
  let at = 0;
  while (at < pattern.length) {
    let star = false;
    while (pattern[at] === "*") {
      star = true;
      at += 1;
    }
    const items: Item[] = [];
    while (at < pattern.length && pattern[at] !== "*") {
      if (pattern[at] === "?") {
        items.push(ANY);
        at += 1;
      } else if (pattern[at] === "[") {
        const found = parseClass(pattern, at);
        items.push({ kind: "class", negated: found.negated, ranges: found.ranges });
        at = found.end;
      } else {
        if (pattern[at] === "\\") at += 1;
        const code = pattern.codePointAt(at);
        if (code === undefined) throw malformed(pattern, "it ends in a backslash");
        const char = String.fromCodePoint(code);
        for (const byte of toBytes(char)) items.push({ kind: "byte", code: byte.charCodeAt(0) });
        at += char.length;
      }
    }
    chunks.push({ star, items });
  }
  return chunks;
}

/**
 * Parses `[a-z]` or `[^a-z]` from the opening bracket on. `-` and `]` stand for themselves only after a backslash.
 * @throws {BuildError} `pattern/malformed`
 */
export function parseClass(
  pattern: string,
  start: number,
): { readonly negated: boolean; readonly ranges: readonly Range[]; readonly end: number } {
  let at = start + 1;
  const negated = pattern[at] === "^";
  if (negated) at += 1;
  const ranges: Range[] = [];
  const member = (): number => {
    if (pattern[at] === "-" || pattern[at] === "]") {
      throw malformed(pattern, `${JSON.stringify(pattern[at])} in brackets needs a backslash`);
    }
    if (pattern[at] === "\\") at += 1;
    const code = pattern.codePointAt(at);
    if (code !== undefined) at += code > 0xffff ? 2 : 1;
    if (code === undefined || at >= pattern.length) throw malformed(pattern, 'the "[" is never closed');
    return code;
  };
  while (pattern[at] !== "]" || ranges.length === 0) {
    const low = member();
    let high = low;
    if (pattern[at] === "-") {
      at += 1;
      high = member();
    }
    if (high < low) {
      const range = `${String.fromCodePoint(low)}-${String.fromCodePoint(high)}`;
      throw malformed(pattern, `the range ${range} runs backwards`);
    }
    ranges.push({ low, high });
  }
  return { negated, ranges, end: at + 1 };
}

export function inClass(code: number, negated: boolean, ranges: readonly Range[]): boolean {
  return ranges.some(({ low, high }) => low <= code && code <= high) !== negated;
}

function matchChunks(chunks: readonly Chunk[], name: string): boolean {
  let at = 0;
  for (const [index, { star, items }] of chunks.entries()) {
    const isLast = index === chunks.length - 1;
    if (star && items.length === 0) return !name.includes("/", at);
    // The leftmost place is always good enough: the next star can take less when this one takes more. Only the last
    // chunk must reach the end of the name.
    let end = matchItems(items, name, at, isLast);
    while (end === undefined) {
      if (!star || at >= name.length || name.charCodeAt(at) === SLASH) return false;
      at += 1;
      end = matchItems(items, name, at, isLast);
    }
    at = end;
  }
  return at === name.length;
}

/** Finds the end of the match, or `undefined`; the last chunk must end where the name does. */
function matchItems(items: readonly Item[], name: string, start: number, isLast: boolean): number | undefined {
  let at = start;
  for (const item of items) {
    if (at >= name.length) return undefined;
    if (item.kind === "byte") {
      if (name.charCodeAt(at) !== item.code) return undefined;
      at += 1;
      continue;
    }
    const { code, length } = runeAt(name, at);
    if (item.kind === "any" ? code === SLASH : !inClass(code, item.negated, item.ranges)) return undefined;
    at += length;
  }
  return isLast && at < name.length ? undefined : at;
}

/** Decodes one UTF-8 character; each invalid byte counts as U+FFFD, as in Go. */
function runeAt(bytes: string, offset: number): { readonly code: number; readonly length: number } {
  const first = bytes.charCodeAt(offset);
  if (first < 0x80) return { code: first, length: 1 };
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  const encoded = Buffer.from(bytes.slice(offset, offset + length), "latin1");
  const code = encoded.toString("utf8").codePointAt(0);
  const isWhole = code !== undefined && Buffer.from(String.fromCodePoint(code)).equals(encoded);
  return isWhole ? { code, length } : { code: 0xfffd, length: 1 };
}

/**
 * Makes one character per byte of the UTF-8 form. A name's invalid bytes stand in the text as lone surrogates and come
 * out as themselves.
 */
function toBytes(text: string): string {
  // oxlint-disable-next-line no-control-regex -- all of ASCII is meant, NUL included
  if (/^[\x00-\x7f]*$/.test(text)) return text;
  if (text.isWellFormed()) return Buffer.from(text).toString("latin1");
  const bytes = Array.from(text, (char) => {
    const unit = char.charCodeAt(0);
    const isByte = char.length === 1 && unit >= 0xdc80 && unit <= 0xdcff;
    return isByte ? String.fromCharCode(unit - 0xdc00) : Buffer.from(char).toString("latin1");
  });
  return bytes.join("");
}

function malformed(pattern: string, why: string): BuildError {
  return new BuildError("pattern/malformed", `Cannot read pattern ${JSON.stringify(pattern)}: ${why}`, {
    hint: "write [a-z] for one of several characters, and a backslash before a character that is meant literally",
  });
}
