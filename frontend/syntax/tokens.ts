import { createToken, type IToken, type TokenType } from "chevrotain";
import type { Lexeme } from "./ast.ts";

/** What arguments are made of. They are matched by our own lexer, because what a word is depends on the instruction. */
function word(name: string): TokenType {
  return createToken({ name, pattern: /NEVER/ });
}

/** A word between blanks. */
export const Word = word("Word");
/** The AS between an image and a stage name. */
export const As = word("As");
/** All that is left of the line. */
export const Text = word("Text");
export const JsonOpen = word("JsonOpen");
/** An element. Commas are not tokens: JSON has been checked when these are made. */
export const JsonString = word("JsonString");
/** Elements that are not all strings. */
export const JsonMixed = word("JsonMixed");
export const JsonClose = word("JsonClose");
export const Name = word("Name");
export const Equals = word("Equals");
export const Value = word("Value");
/** `=value` with nothing before it. No rule takes it: the name in front of it is a word of its own. */
export const Nameless = word("Nameless");
/** The value of `ENV name value`: all that is left. */
export const LegacyValue = word("LegacyValue");
/** HEALTHCHECK NONE. */
export const None = word("None");
/** HEALTHCHECK CMD. */
export const Test = word("Test");
/** The keyword of an instruction below ONBUILD; then comes its text. */
export const Trigger = word("Trigger");
/** ONBUILD below ONBUILD, FROM or MAINTAINER below ONBUILD. */
export const ForbiddenTrigger = word("ForbiddenTrigger");

export const VOCABULARY: TokenType[] = [
  ...[Word, As, Text, JsonOpen, JsonString, JsonMixed, JsonClose],
  ...[Name, Equals, Value, Nameless, LegacyValue, None, Test, Trigger, ForbiddenTrigger],
];

/** A token of a logical line. It has no line numbers: spans are made from offsets when they are wanted. */
export class LineToken implements IToken, Lexeme {
  readonly tokenTypeIdx: number;
  readonly tokenType: TokenType;
  readonly text: string;
  readonly start: number;
  readonly end: number;

  constructor(type: TokenType, text: string, start: number, end: number) {
    this.tokenTypeIdx = type.tokenTypeIdx ?? 0;
    this.tokenType = type;
    this.text = text;
    this.start = start;
    this.end = end;
  }

  get image(): string {
    return this.text;
  }

  get startOffset(): number {
    return this.start;
  }

  get endOffset(): number {
    return this.end - 1;
  }
}
