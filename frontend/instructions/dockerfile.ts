import type { SourceText, Span } from "../../lib/core/span.ts";
import type { ArgInstruction, FromInstruction, StageInstruction } from "./instruction.ts";
import type { Directives } from "../syntax/directives.ts";

/** A whole file without syntax errors. It has at least one stage. */
export interface Dockerfile {
  readonly source: SourceText;
  readonly directives: Directives;
  /** The ARGs above the first FROM. */
  readonly globalArgs: readonly ArgInstruction[];
  readonly stages: readonly Stage[];
  /** Instructions interrupted by blank lines, for the check NoEmptyContinuation. */
  readonly emptyContinuations: readonly EmptyContinuation[];
}

export interface Stage {
  /** Index in the file, from 0. */
  readonly index: number;
  /** Name in lower case; `undefined` without AS. */
  readonly name: string | undefined;
  readonly from: FromInstruction;
  readonly instructions: readonly StageInstruction[];
  /** Range from FROM to the end of the last instruction. */
  readonly span: Span;
}

export interface EmptyContinuation {
  /** Place of the whole instruction. */
  readonly instruction: Span;
  /** The blank lines, in order. */
  readonly lines: readonly Span[];
  /** Line number (from 1) of the last line of the file that belongs to the instruction. The check reports this line. */
  readonly endLine: number;
}
