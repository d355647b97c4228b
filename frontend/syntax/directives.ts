import { BuildError } from "../../lib/core/errors.ts";
import { isRecord, parseJson } from "../../lib/core/json.ts";
import type { SourceText, Span } from "../../lib/core/span.ts";
import { OffsetSpan } from "./logical-line.ts";
import type { Escape } from "../words/escape.ts";

/** The `# name=value` lines at the top of a file. */
export interface Directives {
  readonly syntax: Directive | undefined;
  /** The character that continues lines and escapes. Default: a backslash. */
  readonly escape: Escape;
  readonly check: Directive | undefined;
}

export interface Directive {
  readonly value: string;
  /** Place of the value alone. */
  readonly span: Span;
}

const NAMES = ["syntax", "escape", "check"] as const;
type Name = (typeof NAMES)[number];

/**
 * The part before the value. The value is trimmed by hand: a regular expression would take quadratic time over blanks.
 */
const DIRECTIVE = /^([a-zA-Z][a-zA-Z0-9]*)\s*=/;

/**
 * Reads the `# name=value` lines at the top of a file. The first line of another kind ends them: a blank one, a plain
 * comment, an unknown name. Wrong ones are reported to `onError` and otherwise ignored.
 */
export function readDirectives(source: SourceText, onError: (error: BuildError) => void): HeaderDirectives {
  const found = new Map<Name, Directive>();
  let endOffset = textStart(source.text);
  for (const line of directiveLines(source, "#", endOffset)) {
    endOffset = line.endOffset;
    const { name, directive } = line;
    if (found.has(name)) {
      onError(
        new BuildError("dockerfile/syntax", `only one ${name} parser directive can be used`, {
          span: directive.span,
          hint: "remove this line",
        }),
      );
    } else {
      found.set(name, directive);
    }
  }
  return {
    directives: {
      syntax: found.get("syntax"),
      check: found.get("check") ?? elsewhere(source, "check"),
      escape: toEscape(found.get("escape"), onError),
    },
    endOffset,
  };
}

export interface HeaderDirectives {
  readonly directives: Directives;
  /** Offset of the first line that is not a directive. */
  readonly endOffset: number;
}

export interface SyntaxDirective extends Directive {
  /** The requested image: the first word of the value. */
  readonly ref: string;
}

/**
 * Finds the frontend that a file asks for: `# syntax=ref` at the top, also after a `#!` line; `// syntax=ref`; or the
 * member "syntax" when the file is a JSON object. The rest of the file may be in another language altogether.
 */
export function detectSyntax(source: SourceText): SyntaxDirective | undefined {
  const directive = firstDirective(source, "#", "syntax") ?? elsewhere(source, "syntax");
  return directive && { ...directive, ref: directive.value.split(" ", 1)[0] ?? directive.value };
}

function elsewhere(source: SourceText, name: Name): Directive | undefined {
  return firstDirective(source, "#", name) ?? firstDirective(source, "//", name) ?? jsonMember(source, name);
}

function firstDirective(source: SourceText, sign: "#" | "//", name: Name): Directive | undefined {
  const start = skipShebang(source.text, textStart(source.text));
  for (const line of directiveLines(source, sign, start)) if (line.name === name) return line.directive;
  return undefined;
}

function jsonMember(source: SourceText, name: Name): Directive | undefined {
  const start = skipShebang(source.text, textStart(source.text));
  const text = source.text.slice(start);
  if (!text.trimStart().startsWith("{")) return undefined;
  const json = parseJson(text);
  // Go decodes into a map of strings, which fails as a whole when any member is not a string.
  if (!isRecord(json) || !Object.values(json).every((value) => typeof value === "string")) return undefined;
  const value = Object.hasOwn(json, name) ? json[name] : undefined;
  return typeof value === "string" ? { value, span: new OffsetSpan(source, start, source.text.length) } : undefined;
}

function* directiveLines(source: SourceText, sign: "#" | "//", from: number): Generator<DirectiveLine> {
  const { text } = source;
  for (let start = from; start < text.length;) {
    const newline = text.indexOf("\n", start);
    const end = newline === -1 ? text.length : newline;
    const line = text.slice(start, Math.min(end, start + MAX_DIRECTIVE));
    const signAt = line.length - line.trimStart().length;
    if (!line.startsWith(sign, signAt)) return;
    const rest = line.slice(signAt + sign.length).trimStart();
    const match = DIRECTIVE.exec(rest);
    const name = NAMES.find((known) => known === match?.[1]?.toLowerCase());
    if (match === null || name === undefined) return;
    const written = rest.slice(match[0].length);
    if (written === "") return;
    // A value of blanks alone counts: it is one blank.
    const value = written.trim() || " ";
    const valueAt = start + line.length - written.trimStart().length;
    const span = new OffsetSpan(source, valueAt, valueAt + value.length);
    start = newline === -1 ? text.length : newline + 1;
    yield { name, directive: { value, span }, endOffset: start };
  }
}

interface DirectiveLine {
  readonly name: Name;
  readonly directive: Directive;
  readonly endOffset: number;
}

/** Maximum length of a directive; longer lines are skipped. */
const MAX_DIRECTIVE = 65_536;

function toEscape(directive: Directive | undefined, onError: (error: BuildError) => void): Escape {
  if (directive === undefined) return "\\";
  if (directive.value === "\\" || directive.value === "`") return directive.value;
  onError(
    new BuildError("dockerfile/syntax", `invalid escape token '${directive.value}' does not match \` or \\`, {
      span: directive.span,
      hint: "write # escape=` or remove the line",
    }),
  );
  return "\\";
}

/** Returns the offset after a byte order mark. */
export function textStart(text: string): number {
  return text.startsWith("\ufeff") ? 1 : 0;
}

function skipShebang(text: string, start: number): number {
  if (!text.startsWith("#!", start)) return start;
  const newline = text.indexOf("\n", start);
  return newline === -1 ? text.length : newline + 1;
}
