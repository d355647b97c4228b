import { createToken, type IToken, type TokenType } from "chevrotain";
import type { FlagLexeme, Lexeme } from "./ast.ts";

/** The words of the language. They are matched by our own lexer, because what a word is depends on the instruction. */
function word(name: string): TokenType {
  return createToken({ name, pattern: /NEVER/ });
}

export const Add = word("ADD");
export const Arg = word("ARG");
export const Cmd = word("CMD");
export const Copy = word("COPY");
export const Entrypoint = word("ENTRYPOINT");
export const Env = word("ENV");
export const Expose = word("EXPOSE");
export const From = word("FROM");
export const Healthcheck = word("HEALTHCHECK");
export const Label = word("LABEL");
export const Maintainer = word("MAINTAINER");
export const Onbuild = word("ONBUILD");
export const Run = word("RUN");
export const Shell = word("SHELL");
export const Stopsignal = word("STOPSIGNAL");
export const User = word("USER");
export const Volume = word("VOLUME");
export const Workdir = word("WORKDIR");

/** `--name` or `--name=value`, in front of the arguments. */
export const Flag = word("Flag");
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

export const KEYWORDS: ReadonlyMap<string, TokenType> = new Map(
  [
    [Add, Arg, Cmd, Copy, Entrypoint, Env, Expose, From, Healthcheck],
    [Label, Maintainer, Onbuild, Run, Shell, Stopsignal, User, Volume, Workdir],
  ]
    .flat()
    .map((type) => [type.name, type]),
);

export const VOCABULARY: TokenType[] = [
  ...KEYWORDS.values(),
  ...[Flag, Word, As, Text, JsonOpen, JsonString, JsonMixed, JsonClose],
  ...[Name, Equals, Value, LegacyValue, None, Test, Trigger, ForbiddenTrigger],
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

/** A {@link Flag} taken apart. */
export class FlagToken extends LineToken implements FlagLexeme {
  readonly name: string;
  readonly value: Lexeme | undefined;

  constructor(flag: FlagLexeme) {
    super(Flag, flag.text, flag.start, flag.end);
    this.name = flag.name;
    this.value = flag.value;
  }
}
