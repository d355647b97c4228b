/** An error for a pattern that cannot be read or takes too long; the message gives the reason. */
export class PatternError extends Error {}

/**
 * Removes the match of a shell pattern at the start. `*` is any number of characters, `?` is one, and neither matches a
 * line end; a backslash makes them ordinary. There are no brackets. Where people rely on it, results equal those of
 * Go's regexp, into which Docker's frontend translates these patterns.
 * @throws {PatternError} for a backslash before an ordinary character
 */
export function removePrefix(pattern: string, value: string, prefer: Preference): string {
  const text = new Points(value);
  const end = new Matcher(parsePattern(pattern), text.points, prefer).matchAt(0);
  return end === undefined ? value : text.slice(end, text.points.length);
}

type Preference = "shortest" | "longest";

/**
 * Removes the match of a shell pattern at the end, by the rules of {@link removePrefix}.
 * @throws {PatternError}
 */
export function removeSuffix(pattern: string, value: string, prefer: Preference): string {
  // Reading both backwards lets leftmost matching find the shortest match at the end.
  return reverse(removePrefix(reversePattern(pattern), reverse(value), prefer));
}

/**
 * Replaces the first or every longest match, from the left. With `all`, `$0`, `$name`, `${name}` and `$$` in the
 * replacement mean what they mean to Go's ReplaceAllString: the match, nothing, nothing, a dollar sign.
 *
 * @throws {PatternError} for a bad pattern, or a result of more than `maxLength` UTF-16 code units
 */
export function replacePattern(
  pattern: string,
  value: string,
  replacement: { readonly text: string; readonly count: "first" | "all" },
  maxLength: number,
): string {
  const text = new Points(value);
  const matcher = new Matcher(parsePattern(pattern), text.points, "longest");
  if (replacement.count === "first") {
    const match = matcher.find(0);
    if (match === undefined) return value;
    return text.slice(0, match.start) + replacement.text + text.slice(match.end, text.points.length);
  }
  let result = "";
  let lastEnd = 0;
  let from = 0;
  for (;;) {
    const match = matcher.find(from);
    if (match === undefined) break;
    result += text.slice(lastEnd, match.start);
    // An empty match right after another one does not count; otherwise `*` would replace twice.
    if (match.end > lastEnd || match.start === 0)
      result += fillTemplate(replacement.text, () => text.slice(match.start, match.end));
    if (result.length > maxLength) throw new PatternError(`the result is longer than ${String(maxLength)} characters`);
    lastEnd = match.end;
    from = match.end > from ? match.end : from + 1;
  }
  return result + text.slice(lastEnd, text.points.length);
}

/** Stands for a `?` in a segment. */
const ANY = -1;
const NEWLINE = 10;

/** The part between stars: code points and {@link ANY}. `**` is one star, so only the first and last may be empty. */
type Segment = readonly number[];

/** Splits a pattern into segments at its stars: one segment means that there is no star. */
function parsePattern(pattern: string): readonly Segment[] {
  const segments: number[][] = [];
  let segment: number[] = [];
  const points = Array.from(pattern, (char) => char.codePointAt(0) ?? 0);
  for (let at = 0; at < points.length; at += 1) {
    const point = points[at] ?? 0;
    const char = String.fromCodePoint(point);
    if (char === "*") {
      if (segment.length > 0 || segments.length === 0) segments.push(segment);
      segment = [];
      continue;
    }
    if (char !== "\\") {
      segment.push(char === "?" ? ANY : point);
      continue;
    }
    at += 1;
    const next = points[at];
    const escaped = next === undefined ? "" : String.fromCodePoint(next);
    if (next === undefined || !"*?\\/}".includes(escaped)) throw new PatternError(`invalid escape '\\${escaped}'`);
    segment.push(next);
  }
  segments.push(segment);
  return segments;
}

// About a tenth of a second. Values that double can make pattern times value arbitrarily large.
const MAX_STEPS = 50_000_000;

/**
 * A search for matches. Segments are placed from the left, each at its first possible place. That is never wrong: a
 * star reaches any later place too, as long as no line end is between, and a segment that contains a line end has only
 * one possible place. Only the last segment decides between the shortest and the longest match.
 */
class Matcher {
  readonly #segments: readonly Segment[];
  readonly #points: Uint32Array;
  readonly #prefer: Preference;
  #steps = 0;

  constructor(segments: readonly Segment[], points: Uint32Array, prefer: Preference) {
    this.#segments = segments;
    this.#points = points;
    this.#prefer = prefer;
  }

  /** Finds the leftmost match that starts at `from` or later. */
  find(from: number): { readonly start: number; readonly end: number } | undefined {
    const hasStar = this.#segments.length > 1;
    const firstHasNewline = this.#segments[0]?.includes(NEWLINE) ?? false;
    for (let start = from; start <= this.#points.length; start += 1) {
      if (!this.#fits(0, start)) continue;
      const end = this.#matchRest(start);
      if (end !== undefined) return { start, end };
      // A place that a star cannot reach from here, it cannot reach from further right on the same line.
      if (hasStar && !firstHasNewline) start = this.#lineEnd(start);
    }
    return undefined;
  }

  /** Finds the end of the match that starts exactly at `start`. */
  matchAt(start: number): number | undefined {
    return this.#fits(0, start) ? this.#matchRest(start) : undefined;
  }

  /** Places all segments but the first, which is at `start`. */
  #matchRest(start: number): number | undefined {
    let at = start + (this.#segments[0]?.length ?? 0);
    for (let index = 1; index < this.#segments.length; index += 1) {
      const segment = this.#segments[index] ?? [];
      const isLast = index === this.#segments.length - 1;
      const place = this.#place(index, at, isLast ? this.#prefer : "shortest");
      if (place === undefined) return undefined;
      at = place + segment.length;
    }
    return at;
  }

  /** Finds the place of segment `index` when a star before it begins at `offset`. */
  #place(index: number, offset: number, prefer: Preference): number | undefined {
    const segment = this.#segments[index] ?? [];
    const lineEnd = this.#lineEnd(offset);
    const newline = segment.indexOf(NEWLINE);
    if (newline !== -1) {
      const place = lineEnd - newline;
      return place >= offset && this.#fits(index, place) ? place : undefined;
    }
    const last = lineEnd - segment.length;
    if (prefer === "shortest") {
      for (let place = offset; place <= last; place += 1) if (this.#fits(index, place)) return place;
    } else {
      for (let place = last; place >= offset; place -= 1) if (this.#fits(index, place)) return place;
    }
    return undefined;
  }

  #fits(index: number, offset: number): boolean {
    const segment = this.#segments[index] ?? [];
    if (offset + segment.length > this.#points.length) return false;
    for (let i = 0; i < segment.length; i += 1) {
      this.#step(1);
      const wanted = segment[i];
      const found = this.#points[offset + i];
      if (wanted === ANY ? found === NEWLINE : wanted !== found) return false;
    }
    return true;
  }

  /** Finds the next line end at or after `offset`, or the end of the value. */
  #lineEnd(offset: number): number {
    const found = this.#points.indexOf(NEWLINE, offset);
    const end = found === -1 ? this.#points.length : found;
    this.#step((end - offset) >> 3); // a search by the engine is that much faster than our own steps
    return end;
  }

  #step(count: number): void {
    this.#steps += count;
    if (this.#steps > MAX_STEPS) throw new PatternError("it takes too long to match");
  }
}

/** A text as code points, so that `?` never matches half a character. */
class Points {
  readonly points: Uint32Array;
  readonly #text: string;
  readonly #hasPairs: boolean;

  constructor(text: string) {
    this.#text = text;
    this.#hasPairs = /[\ud800-\udbff][\udc00-\udfff]/.test(text);
    if (this.#hasPairs) {
      this.points = Uint32Array.from(text, (char) => char.codePointAt(0) ?? 0);
    } else {
      this.points = new Uint32Array(text.length);
      for (let at = 0; at < text.length; at += 1) this.points[at] = text.charCodeAt(at);
    }
  }

  slice(start: number, end: number): string {
    if (!this.#hasPairs) return this.#text.slice(start, end);
    let result = "";
    for (let at = start; at < end; at += 1) result += String.fromCodePoint(this.points[at] ?? 0);
    return result;
  }
}

/** Fills a template as Go's regexp.Expand does, for a pattern without groups. */
function fillTemplate(template: string, match: () => string): string {
  if (!template.includes("$")) return template;
  return template.replace(/\$(?:\$|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))/gu, (written, braced, bare) => {
    if (written === "$$") return "$";
    return (braced ?? bare) === "0" ? match() : "";
  });
}

function reverse(text: string): string {
  return Array.from(text).toReversed().join("");
}

/** Reverses a pattern; each backslash stays before the character it protects. */
function reversePattern(pattern: string): string {
  const pieces = pattern.match(/\\[^]|[^]/gu) ?? [];
  return pieces.toReversed().join("");
}
