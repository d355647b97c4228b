import type { Keyword } from "./keywords.ts";

/**
 * One instruction as the grammar reads it: its words and their structure, not yet their meaning. Offsets count in the
 * logical line.
 */
export interface InstructionNode {
  readonly keyword: Lexeme;
  /** Keyword in capitals. */
  readonly name: Keyword;
  readonly flags: readonly FlagLexeme[];
  readonly body: Body;
}

/** A piece of a line. `text` may differ from the source text: JSON strings are decoded, flags unquoted. */
export interface Lexeme {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

export interface FlagLexeme extends Lexeme {
  /** Name without dashes. */
  readonly name: string;
  readonly value: Lexeme | undefined;
}

/** The part after the flags: one shape per kind of argument. */
export type Body =
  | {
      readonly shape: "from";
      readonly base: Lexeme;
      readonly as: Lexeme | undefined;
      readonly name: Lexeme | undefined;
    }
  | { readonly shape: "list"; readonly words: readonly Lexeme[] }
  | { readonly shape: "command"; readonly command: CommandNode }
  | { readonly shape: "pairs"; readonly pairs: readonly PairNode[]; readonly form: "pairs" | "legacy" }
  | { readonly shape: "declarations"; readonly declarations: readonly DeclarationNode[] }
  | { readonly shape: "text"; readonly text: Lexeme }
  | { readonly shape: "healthcheck"; readonly command: CommandNode | undefined }
  | { readonly shape: "onbuild"; readonly keyword: Lexeme; readonly text: Lexeme };

export type CommandNode =
  | { readonly form: "exec"; readonly argv: readonly Lexeme[]; readonly start: number; readonly end: number }
  /** `undefined` for an empty line. */
  | { readonly form: "shell"; readonly text: Lexeme | undefined };

export interface PairNode {
  readonly name: Lexeme;
  readonly value: Lexeme;
}

export interface DeclarationNode {
  readonly name: Lexeme;
  readonly value: Lexeme | undefined;
}
