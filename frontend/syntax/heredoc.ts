import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";
import { expandToWords, rawWords } from "../words/expand.ts";
import { withoutShifts } from "./shell-text.ts";
import type { LineReader } from "./line-reader.ts";
import { OffsetSpan, type LogicalLine } from "./logical-line.ts";
import type { Variables } from "../words/expander.ts";

/** A here-document: its word in the instruction and its body below. */
export interface Heredoc {
  /** The terminator, quotes removed. Also the file name for COPY and ADD. */
  readonly name: string;
  /** Text of the file, line ends and leading tabs included. {@link heredocText} gives the meaning. */
  readonly body: string;
  /** `<<-`: leading tabs are not part of the text. */
  readonly chomp: boolean;
  /** False when part of the word was quoted. */
  readonly expand: boolean;
  /** The digits before `<<`; 0 without digits. */
  readonly fileDescriptor: number;
  /** Place of the word, `<<` included. */
  readonly span: Span;
  /** Place of the lines between instruction and terminator. */
  readonly bodySpan: Span;
}

export interface HeredocWord {
  readonly name: string;
  readonly expand: boolean;
  readonly chomp: boolean;
  readonly fileDescriptor: number;
}

const HEREDOC = /^(\d*)<<(-?)\s*([^<]*)$/;

/** Parses one word as `<<NAME`, `<<- NAME`, `3<<"NAME"`; `undefined` for any other word. */
export function parseHeredocWord(word: string, span?: Span): HeredocWord | undefined {
  if (!word.includes("<<")) return undefined;
  const match = HEREDOC.exec(word);
  const rest = match?.[3] ?? "";
  if (match === null || rest === "") return undefined;
  const { words } = expandToWords(rest, NO_VARIABLES, { escape: "\\", unset: "keep", span });
  const [name] = words;
  if (name === undefined || words.length !== 1) return undefined;
  // Only quotes turn expansion off; an escape does not.
  const expand = !/["']/.test(rest.replaceAll(/\\[^]/g, ""));
  return { name, expand, chomp: match[2] === "-", fileDescriptor: Number(match[1] ?? "") };
}

/** Tells whether a text is exactly one here-document word. */
export function isHeredocWord(text: string): boolean {
  try {
    return parseHeredocWord(text) !== undefined;
  } catch (error) {
    // A quote that is never closed, for example after a `#`, is for the shell to judge.
    if (error instanceof BuildError && error.code === "dockerfile/expansion") return false;
    throw error;
  }
}

/**
 * Reads and consumes the here-document bodies in the lines below `line`. Bodies come in the order of their words; `end`
 * is the end of the last terminator. `undefined` for a line that plainly asks for none. In `shell` language, which RUN
 * uses, a `<<` in a comment or in arithmetic does not ask for one.
 */
export function readHeredocs(
  line: LogicalLine,
  reader: LineReader,
  language: "shell" | "words",
): { readonly heredocs: readonly Heredoc[]; readonly end: number } | undefined {
  if (!line.text.includes("<<")) return undefined;
  const heredocs: Heredoc[] = [];
  let end = line.endOffset;
  const searched = language === "shell" ? withoutShifts(line.text) : line.text;
  for (const { text, start } of rawWords(searched)) {
    const span = line.span(start, Math.min(start + text.length, line.text.length));
    const word = parseHeredocWord(text, span);
    if (word === undefined) continue;
    const body = reader.heredocBody(word.name, word.chomp ? "chomp" : "keep");
    if (body === undefined) {
      throw new BuildError("dockerfile/heredoc", "unterminated heredoc", {
        span,
        hint: `end it with a line that is only ${word.name}`,
      });
    }
    const bodySpan = new OffsetSpan(line.source, body.start, body.end);
    heredocs.push({ ...word, body: body.text, span, bodySpan });
    end = body.terminatorEnd;
  }
  return { heredocs, end };
}

const NO_VARIABLES: Variables = { get: () => undefined };
