import type { SourceText, Span } from "../../lib/core/span.ts";
import type { ArgInstruction, FromInstruction, StageInstruction } from "./instruction.ts";
import type { Directives } from "../syntax/directives.ts";

/** A whole file without syntax errors: at least one stage. */
export interface Dockerfile {
  readonly source: SourceText;
  readonly directives: Directives;
  /** The ARGs above the first FROM. */
  readonly globalArgs: readonly ArgInstruction[];
  readonly stages: readonly Stage[];
  /** For the check NoEmptyContinuation: instructions that are interrupted by blank lines. */
  readonly emptyContinuations: readonly EmptyContinuation[];
}

export interface Stage {
  /** Counts from 0 in the file. */
  readonly index: number;
  /** Lower-cased; `undefined` without AS. */
  readonly name: string | undefined;
  readonly from: FromInstruction;
  readonly instructions: readonly StageInstruction[];
  /** From FROM to the end of the last instruction. */
  readonly span: Span;
}

export interface EmptyContinuation {
  /** Of the whole instruction. */
  readonly instruction: Span;
  /** The blank lines, in order. */
  readonly lines: readonly Span[];
  /** The last line of the file that was read for the instruction; counts from 1. Where the check reports it. */
  readonly endLine: number;
}
