import { BuildError } from "../../src/core/errors.ts";
import type { Escape } from "../instructions/dockerfile.ts";
import type { InstructionNode } from "./ast.ts";
import { type Explanation, explainRefusal, unknownInstruction } from "./explain.ts";
import { ArgumentGrammar } from "./grammar.ts";
import { lexInstruction, type LexedLine } from "./lexer.ts";
import type { LogicalLine } from "./logical-line.ts";
import * as T from "./tokens.ts";

export type ParsedLine = {
  /** The lines below belong to this instruction if it has `<<` words. */
  readonly canHaveHeredocs: boolean;
} & (
  | { readonly node: InstructionNode; readonly error: undefined }
  | { readonly node: undefined; readonly error: BuildError }
);

/** Reads one logical line. */
export function parseLine(line: LogicalLine, escape: Escape): ParsedLine {
  const lexed = lexInstruction(line.text, escape);
  const [trigger] = lexed.name === "ONBUILD" && lexed.tokens[0]?.tokenType === T.Trigger ? lexed.tokens : [];
  const inner = trigger && lexInstruction(line.text, escape, trigger.start, lexed.argumentsEnd);
  const canHaveHeredocs = takesHeredocs(inner ?? lexed);
  const result = parseTokens(lexed);
  const refusal = "message" in result ? result : innerRefusal(inner);
  if (refusal !== undefined) {
    const { code, message, hint, start, end } = refusal;
    const error = new BuildError(code, message, { span: line.span(start, end), hint });
    return { canHaveHeredocs, node: undefined, error };
  }
  if ("message" in result) throw new Error("A refusal is an error");
  return { canHaveHeredocs, node: result, error: undefined };
}

/** Builds the grammar now, for a start-up snapshot to contain it. */
export function prepareParser(): void {
  theGrammar();
}

// Building the grammar costs milliseconds, parsing microseconds, so it is built once, and only when a file is read. It
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

/** Below ONBUILD, only what cannot be told apart into words is an error now: the rest waits until the trigger runs. */
function innerRefusal(inner: LexedLine | undefined): Explanation | undefined {
  if (inner?.name === undefined) return undefined;
  const result = parseTokens(inner);
  return "message" in result && result.kind === "form" ? result : undefined;
}

function takesHeredocs(line: LexedLine): boolean {
  const { name, tokens } = line;
  if (name !== "RUN" && name !== "COPY" && name !== "ADD") return false;
  const first = tokens[0]?.tokenType;
  return first !== T.JsonOpen && first !== T.JsonMixed;
}
