import type { TokenType } from "chevrotain";
import { unreachable } from "../../lib/core/errors.ts";
import { isSpace, skipSpaces, trimEndOffset } from "../words/spaces.ts";
import { splitWords } from "../words/split.ts";
import type { FlagLexeme, Lexeme } from "./ast.ts";
import { readFlags } from "./flags.ts";
import { readJsonArray } from "./json-array.ts";
import { type Keyword, keywordOf } from "./keywords.ts";
import type { Escape } from "../words/escape.ts";
import * as T from "./tokens.ts";

export interface LexedLine {
  readonly keyword: Lexeme;
  /** Keyword in capitals; `undefined` for an unknown instruction, and then there are no tokens. */
  readonly name: Keyword | undefined;
  readonly flags: readonly FlagLexeme[];
  /** Tokens of the arguments. */
  readonly tokens: T.LineToken[];
  /** Offset of the arguments, without surrounding blanks. */
  readonly argumentsStart: number;
  readonly argumentsEnd: number;
}

/** Splits `text[from, to)`, one instruction, into tokens by the rules of its keyword. */
export function lexInstruction(text: string, escape: Escape, from = 0, limit: number = text.length): LexedLine {
  const start = skipSpaces(text, from, limit);
  const end = trimEndOffset(text, start, limit);
  const keywordEnd = blankOffset(text, start, end);
  const written = text.slice(start, keywordEnd);
  const name = keywordOf(written);
  // A keyword in capitals, the usual case, shares one string among all instructions.
  const keyword = { text: written === name ? name : written, start, end: keywordEnd };
  const { flags, end: argumentsStart } = readFlags(text, keywordEnd, end);
  const tokens: T.LineToken[] = [];
  if (name !== undefined) lexArguments(name, new ArgumentLexer(text, argumentsStart, end, escape, tokens));
  return { keyword, name, flags, tokens, argumentsStart, argumentsEnd: end };
}

function lexArguments(name: Keyword, lexer: ArgumentLexer): void {
  switch (name) {
    case "FROM":
      return lexer.from();
    case "ADD":
    case "COPY":
    case "VOLUME":
      return lexer.jsonOr("words");
    case "RUN":
    case "CMD":
    case "ENTRYPOINT":
    case "SHELL":
      return lexer.jsonOr("text");
    case "ENV":
    case "LABEL":
      return lexer.pairs();
    case "ARG":
      return lexer.declarations();
    case "EXPOSE":
      return lexer.words();
    case "HEALTHCHECK":
      return lexer.healthcheck();
    case "ONBUILD":
      return lexer.onbuild();
    case "MAINTAINER":
    case "STOPSIGNAL":
    case "USER":
    case "WORKDIR":
      return lexer.text();
    default:
      return unreachable(name);
  }
}

class ArgumentLexer {
  readonly #text: string;
  #start: number;
  readonly #end: number;
  readonly #escape: Escape;
  readonly #tokens: T.LineToken[];

  constructor(text: string, start: number, end: number, escape: Escape, tokens: T.LineToken[]) {
    this.#text = text;
    this.#start = start;
    this.#end = end;
    this.#escape = escape;
    this.#tokens = tokens;
  }

  text(): void {
    if (this.#start < this.#end) this.#push(T.Text, this.#start, this.#end);
  }

  words(): void {
    for (let at = this.#start; at < this.#end;) {
      const wordEnd = blankOffset(this.#text, at, this.#end);
      this.#push(T.Word, at, wordEnd);
      at = skipBlanks(this.#text, wordEnd, this.#end);
    }
  }

  from(): void {
    this.words();
    const as = this.#tokens[1];
    if (as?.text.toLowerCase() === "as") this.#tokens[1] = new T.LineToken(T.As, as.text, as.start, as.end);
  }

  jsonOr(otherwise: "words" | "text"): void {
    const array = readJsonArray(this.#text, this.#start, this.#end);
    if (array.kind === "none") return otherwise === "words" ? this.words() : this.text();
    if (array.kind === "mixed") return this.#push(T.JsonMixed, this.#start, this.#end);
    this.#push(T.JsonOpen, this.#start, this.#start + 1);
    for (const string of array.strings)
      this.#tokens.push(new T.LineToken(T.JsonString, string.text, string.start, string.end));
    return this.#push(T.JsonClose, this.#end - 1, this.#end);
  }

  /** Lexes ENV and LABEL: the first word decides between `name=value ...` and `name rest of the line`. */
  pairs(): void {
    const words = splitWords(this.#text, this.#escape, this.#start, this.#end);
    const [first] = words;
    if (first === undefined) return;
    if (this.#equalsOffset(first.start, first.end) !== undefined) {
      for (const word of words) this.#pair(word.start, word.end);
      return;
    }
    const nameEnd = blankOffset(this.#text, this.#start, this.#end);
    this.#push(T.Name, this.#start, nameEnd);
    const valueStart = skipBlanks(this.#text, nameEnd, this.#end);
    if (nameEnd < this.#end) this.#push(T.LegacyValue, valueStart, this.#end);
  }

  declarations(): void {
    for (const word of splitWords(this.#text, this.#escape, this.#start, this.#end)) this.#pair(word.start, word.end);
  }

  healthcheck(): void {
    let typeEnd = this.#start;
    while (typeEnd < this.#end && !isSpace(this.#text.charCodeAt(typeEnd))) typeEnd += 1;
    if (typeEnd === this.#start) return;
    const type = this.#text.slice(this.#start, typeEnd).toUpperCase();
    this.#push(type === "NONE" ? T.None : type === "CMD" ? T.Test : T.Word, this.#start, typeEnd);
    this.#start = skipSpaces(this.#text, typeEnd, this.#end);
    this.jsonOr("text");
  }

  onbuild(): void {
    if (this.#start === this.#end) return;
    const keywordEnd = blankOffset(this.#text, this.#start, this.#end);
    const keyword = this.#text.slice(this.#start, keywordEnd).toUpperCase();
    const isForbidden = keyword === "ONBUILD" || keyword === "FROM" || keyword === "MAINTAINER";
    this.#push(isForbidden ? T.ForbiddenTrigger : T.Trigger, this.#start, keywordEnd);
    this.#push(T.Text, this.#start, this.#end);
  }

  #pair(start: number, end: number): void {
    const equals = this.#equalsOffset(start, end) ?? end;
    if (equals === start) {
      this.#push(T.Nameless, start, end);
      return;
    }
    this.#push(T.Name, start, equals);
    if (equals === end) return;
    this.#push(T.Equals, equals, equals + 1);
    this.#push(T.Value, equals + 1, end);
  }

  #equalsOffset(start: number, end: number): number | undefined {
    for (let at = start; at < end; at += 1) if (this.#text[at] === "=") return at;
    return undefined;
  }

  #push(type: TokenType, start: number, end: number): void {
    this.#tokens.push(new T.LineToken(type, this.#text.slice(start, end), start, end));
  }
}

/** Tells whether a unit separates words of a plain list. Other Unicode white space belongs to the word. */
function isBlank(unit: number): boolean {
  return unit === 0x20 || unit === 0x09 || (unit >= 0x0b && unit <= 0x0d);
}

function blankOffset(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && !isBlank(text.charCodeAt(at))) at += 1;
  return at;
}

function skipBlanks(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && isBlank(text.charCodeAt(at))) at += 1;
  return at;
}
