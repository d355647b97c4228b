import { BuildError } from "../../lib/core/errors.ts";
import type { InstructionNode } from "./ast.ts";
import { type Explanation, explainRefusal, unknownInstruction } from "./explain.ts";
import { ArgumentGrammar } from "./grammar.ts";
import { lexInstruction, type LexedLine } from "./lexer.ts";
import type { LogicalLine } from "./logical-line.ts";
import type { Escape } from "../words/escape.ts";
import * as T from "./tokens.ts";

export type ParsedLine = {
  /** The language in which to look for `<<` words; `undefined` where they have no meaning. */
  readonly heredocs: "shell" | "words" | undefined;
} & (
  | { readonly node: InstructionNode; readonly error: undefined }
  | { readonly node: undefined; readonly error: BuildError }
);

/** Parses one logical line. */
export function parseLine(line: LogicalLine, escape: Escape): ParsedLine {
  const lexed = lexInstruction(line.text, escape);
  const [trigger] = lexed.name === "ONBUILD" && lexed.tokens[0]?.tokenType === T.Trigger ? lexed.tokens : [];
  const inner = trigger && lexInstruction(line.text, escape, trigger.start, lexed.argumentsEnd);
  const heredocs = heredocLanguage(inner ?? lexed);
  const result = parseTokens(lexed);
  const refusal = "message" in result ? result : innerRefusal(inner);
  if (refusal !== undefined) {
    const { code, message, hint, start, end } = refusal;
    const error = new BuildError(code, message, { span: line.span(start, end), hint });
    return { heredocs, node: undefined, error };
  }
  if ("message" in result) throw new Error("A refusal is an error");
  return { heredocs, node: result, error: undefined };
}

/** Builds the grammar now, so that a start-up snapshot contains it. */
export function prepareParser(): void {
  theGrammar();
}

// Building the grammar costs milliseconds, parsing microseconds. So it is built once, when the first file is read. It
// keeps nothing between instructions.
let grammar: ArgumentGrammar | undefined;

function theGrammar(): ArgumentGrammar {
  grammar ??= new ArgumentGrammar("trust");
  return grammar;
}

function parseTokens(line: LexedLine): InstructionNode | Explanation {
  const { name, keyword, flags } = line;
  if (name === undefined) return unknownInstruction(line);
  const parser = theGrammar();
  const body = parser.read(name, line.tokens);
  const [error] = parser.errors;
  return error === undefined ? { keyword, name, flags, body } : explainRefusal(line, name, error.token);
}

/** Reports only a form error below ONBUILD: other errors wait until the trigger runs. */
function innerRefusal(inner: LexedLine | undefined): Explanation | undefined {
  if (inner?.name === undefined) return undefined;
  const result = parseTokens(inner);
  return "message" in result && result.kind === "form" ? result : undefined;
}

function heredocLanguage({ name, tokens }: LexedLine): "shell" | "words" | undefined {
  if (name !== "RUN" && name !== "COPY" && name !== "ADD") return undefined;
  const first = tokens[0]?.tokenType;
  if (first === T.JsonOpen || first === T.JsonMixed) return undefined;
  return name === "RUN" ? "shell" : "words";
}
