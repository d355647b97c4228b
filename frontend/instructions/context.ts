import type { InstructionNode, Lexeme } from "../syntax/ast.ts";
import type { LogicalLine } from "../syntax/logical-line.ts";
import type { InstructionText, Word } from "./instruction.ts";
import type { Heredoc } from "../syntax/heredoc.ts";

/** One instruction that the grammar has accepted, on its way to the typed model. */
export interface InstructionContext {
  readonly node: InstructionNode;
  readonly line: LogicalLine;
  readonly heredocs: readonly Heredoc[];
  /** The fields that every instruction has. */
  readonly text: InstructionText;
}

export function toWord(line: LogicalLine, lexeme: Lexeme): Word {
  return { text: lexeme.text, span: line.span(lexeme.start, lexeme.end) };
}
