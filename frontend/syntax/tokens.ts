import { createToken, type IToken, type TokenType } from "chevrotain";
import type { Lexeme } from "./ast.ts";

/** Makes a token type for arguments. Our own lexer matches them, because the instruction decides what a word is. */
function word(name: string): TokenType {
  return createToken({ name, pattern: /NEVER/ });
}

/** A word between blanks. */
export const Word = word("Word");
/** The AS between an image and a stage name. */
export const As = word("As");
/** The rest of the line. */
export const Text = word("Text");
export const JsonOpen = word("JsonOpen");
/** An element of a JSON array. Commas are not tokens: the JSON has been checked before. */
export const JsonString = word("JsonString");
/** A JSON array with elements that are not strings. */
export const JsonMixed = word("JsonMixed");
export const JsonClose = word("JsonClose");
export const Name = word("Name");
export const Equals = word("Equals");
export const Value = word("Value");
/** `=value` with nothing before it. No rule accepts it: the name before it is a word of its own. */
export const Nameless = word("Nameless");
/** The value of `ENV name value`: the rest of the line. */
export const LegacyValue = word("LegacyValue");
/** HEALTHCHECK NONE. */
export const None = word("None");
/** HEALTHCHECK CMD. */
export const Test = word("Test");
/** The keyword of an instruction below ONBUILD. Its text follows. */
export const Trigger = word("Trigger");
/** ONBUILD below ONBUILD, FROM or MAINTAINER below ONBUILD. */
export const ForbiddenTrigger = word("ForbiddenTrigger");

export const VOCABULARY: TokenType[] = [
  ...[Word, As, Text, JsonOpen, JsonString, JsonMixed, JsonClose],
  ...[Name, Equals, Value, Nameless, LegacyValue, None, Test, Trigger, ForbiddenTrigger],
];

/** A token of a logical line. It has no line numbers: spans are computed from offsets on demand. */
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
