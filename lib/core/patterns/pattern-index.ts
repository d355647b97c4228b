/**
 * An index of many patterns by the literal text at their ends: a pattern that begins with `build/` or ends with `.log`
 * is not tried for other paths. Found patterns may still not match; all others cannot.
 */
export class PatternIndex {
  /** Positions of patterns without special characters, by their whole text. */
  readonly #exact = new Map<string, number[]>();
  readonly #prefixes = new EndIndex((path, length) => path.slice(0, length));
  readonly #suffixes = new EndIndex((path, length) => path.slice(path.length - length));
  /** Patterns without literal text at either end. */
  readonly #open: { readonly position: number; readonly literal: string }[] = [];

  /** Adds a pattern. Patterns are added in order; `position` counts them. */
  add(text: string, position: number): void {
    if (!/[*?[\\]/.test(text)) {
      put(this.#exact, text, position);
      return;
    }
    const prefix = /^[^*?[\\]*/.exec(text)?.[0] ?? "";
    const suffix = literalSuffix(text);
    if (prefix === "" && suffix === "") this.#open.push({ position, literal: innerLiteral(text) });
    else if (prefix.length >= suffix.length) this.#prefixes.add(prefix, position);
    else this.#suffixes.add(suffix, position);
  }

  /** Lists the positions of possible matches, ascending. */
  candidates(path: string): readonly number[] {
    const found = [...(this.#exact.get(path) ?? [])];
    this.#prefixes.collect(path, found);
    this.#suffixes.collect(path, found);
    for (const { position, literal } of this.#open) if (path.includes(literal)) found.push(position);
    return found.toSorted((a, b) => a - b);
  }
}

/** Positions by one end of the patterns. */
class EndIndex {
  readonly #positions = new Map<string, number[]>();
  readonly #lengths = new Set<number>();
  readonly #end: (path: string, length: number) => string;

  constructor(end: (path: string, length: number) => string) {
    this.#end = end;
  }

  add(literal: string, position: number): void {
    put(this.#positions, literal, position);
    this.#lengths.add(literal.length);
  }

  collect(path: string, found: number[]): void {
    for (const length of this.#lengths) {
      const positions = length <= path.length ? this.#positions.get(this.#end(path, length)) : undefined;
      for (const position of positions ?? []) found.push(position);
    }
  }
}

function put(map: Map<string, number[]>, key: string, position: number): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [position]);
  else known.push(position);
}

/**
 * Returns the text after the last special character. `**` may stand for nothing, and then the slash after it as well.
 */
function literalSuffix(text: string): string {
  const at = Math.max(...["*", "?", "]", "\\"].map((char) => text.lastIndexOf(char)));
  return withoutOptionalSlash(text.slice(at + 1), text.slice(0, at + 1));
}

/**
 * Returns a text that every match contains: the longest one between special characters. A class has members, not text.
 */
function innerLiteral(text: string): string {
  if (text.includes("[")) return "";
  let longest = "";
  for (const { 0: run, index } of text.matchAll(/[^*?\\]+/g)) {
    const literal = withoutOptionalSlash(run, text.slice(0, index));
    if (literal.length > longest.length) longest = literal;
  }
  return longest;
}

function withoutOptionalSlash(literal: string, before: string): string {
  return before.endsWith("**") && literal.startsWith("/") ? literal.slice(1) : literal;
}
