import { BuildError } from "../../lib/core/errors.ts";
import { cleanPath } from "../../lib/core/patterns/clean-path.ts";
import { compileGoPattern } from "../../lib/core/patterns/go-match.ts";
import type { SourceText, Span } from "../../lib/core/span.ts";

/** The patterns of a .dockerignore, in order, ready for a PatternMatcher. */
export interface IgnoreFile {
  readonly patterns: readonly IgnorePattern[];
}

export interface IgnorePattern {
  /** Cleaned pattern: no leading or trailing `/`, no `./`; `!` first where there is one. */
  readonly text: string;
  /** Place as written. */
  readonly span: Span;
}

/**
 * Reads a .dockerignore: one pattern per line. `#` in the first column starts a comment; blanks around a pattern do not
 * count.
 * @throws {BuildError} `dockerfile/ignore-file` for patterns that cannot be read; all of them in one error
 */
export function parseIgnoreFile(source: SourceText): IgnoreFile {
  const patterns: IgnorePattern[] = [];
  const errors: BuildError[] = [];
  for (const [index, start] of source.lineStarts.entries()) {
    const end = source.lineStarts[index + 1] ?? source.text.length;
    const isMarked = index === 0 && source.text.startsWith("\uFEFF");
    const line = source.text.slice(isMarked ? start + 1 : start, end);
    const text = line.trim();
    if (line.startsWith("#") || text === "") continue;
    const from = start + (isMarked ? 1 : 0) + line.indexOf(text);
    const span = source.span(from, from + text.length);
    const isException = text.startsWith("!");
    const path = cleanPattern(isException ? text.slice(1).trim() : text);
    const problem = encodingProblem(source, from, from + text.length) ?? problemOf(path, span);
    if (problem === undefined) patterns.push({ text: isException ? `!${path}` : path, span });
    else errors.push(problem);
  }
  const [first, ...more] = errors;
  if (first !== undefined) throw first.withMore(more);
  return { patterns };
}

/** Refuses a pattern that is not UTF-8: it would match no file, and the files it names would get into the context. */
function encodingProblem(source: SourceText, from: number, end: number): BuildError | undefined {
  const undecoded = source.undecoded.find((offset) => from <= offset && offset < end);
  const zero = source.text.slice(from, end).indexOf("\0");
  if (undecoded === undefined && zero === -1) return undefined;
  const offset = undecoded ?? from + zero;
  const what = undecoded === undefined ? "a zero byte" : "a byte that is not UTF-8";
  return new BuildError("dockerfile/encoding", `Cannot read an ignore pattern: it holds ${what}`, {
    span: source.span(offset, offset + 1),
    hint: 'save the file as UTF-8, or write "?" for the character',
  });
}

function cleanPattern(text: string): string {
  if (text === "") return text;
  const path = cleanPath(text);
  return path.length > 1 && path.startsWith("/") ? path.slice(1) : path;
}

function problemOf(path: string, span: Span): BuildError | undefined {
  if (path === "") {
    return new BuildError("dockerfile/ignore-file", 'Cannot read an ignore pattern: nothing follows "!"', {
      span,
      hint: 'write what is to be kept behind it, as in "!README.md"',
    });
  }
  try {
    compileGoPattern(path);
    return undefined;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return error.with({ code: "dockerfile/ignore-file", span });
  }
}
