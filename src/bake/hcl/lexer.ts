import type { TokenType } from "chevrotain";
import type { SourceText } from "../../../lib/core/span.ts";
import { syntaxFailure } from "./failure.ts";
import { type HereDocument, readHereDocument, readQuoted, type RawPart } from "./template-text.ts";
import * as T from "./tokens.ts";

/** Brackets deeper than this are no file of a person, and parsing them would take the whole stack. */
const MAX_DEPTH = 200;
const IDENTIFIER = /[\p{ID_Start}_][\p{ID_Continue}-]*/uy;
const NUMBER = /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const BLANK = /[ \t\r\ufeff]+|(?:#|\/\/)[^\n]*|\/\*[\s\S]*?\*\//y;
const HERE = /<<(-?)([\p{ID_Start}_][\p{ID_Continue}-]*)[ \t]*\r?\n/uy;
const CONTROL = /[ \t\n\r]*(if|else|endif|for|endfor)\b/y;

const CONTROLS: Readonly<Record<string, TokenType>> = {
  if: T.ControlIf,
  else: T.ControlElse,
  endif: T.ControlEndif,
  for: T.ControlFor,
  endfor: T.ControlEndfor,
};

/** `lines`: newlines count, as between attributes; `free`: they are white space. */
type Bracket = { readonly close: string; readonly newlines: "lines" | "free" };

/**
 * Splits a file into tokens. The text of templates is read here too, with its sequences, so that braces and quotes in
 * them nest as the language says.
 * @throws {BuildError} `bake/syntax`
 */
export function tokenize(source: SourceText, dialect: "hcl" | "json"): T.HclToken[] {
  const lexer = new Lexer(source, dialect);
  lexer.code(source.text.length, undefined);
  return lexer.finished();
}

class Lexer {
  readonly #source: SourceText;
  readonly #text: string;
  readonly #dialect: "hcl" | "json";
  readonly #tokens: T.HclToken[] = [];
  #at = 0;
  #depth = 0;

  constructor(source: SourceText, dialect: "hcl" | "json") {
    this.#source = source;
    this.#text = source.text;
    this.#dialect = dialect;
  }

  finished(): T.HclToken[] {
    this.#add(T.End, this.#text.length, "");
    return this.#tokens;
  }

  /** Reads tokens up to an offset, or up to the brace that ends a sequence of a template. */
  code(limit: number, sequence: "sequence" | undefined): void {
    const open: Bracket[] = sequence === undefined ? [] : [{ close: "}", newlines: "free" }];
    while (this.#at < limit) {
      if (this.#match(BLANK) !== undefined) continue;
      const start = this.#at;
      if (this.#text.startsWith("/*", start))
        throw this.#failure("Cannot read a comment that does not end", start, start + 2);
      if (this.#text[start] === "\n") {
        this.#at += 1;
        if (open.at(-1)?.newlines !== "free") this.#add(T.Newline, start, "\n");
        continue;
      }
      if (sequence !== undefined && open.length === 1 && /^~?\}/.test(this.#text.slice(start, start + 2))) {
        const trims = this.#text[start] === "~";
        this.#at += trims ? 2 : 1;
        this.#add(T.SequenceEnd, start, "}", trims);
        return;
      }
      this.#token(open);
      this.#depthCheck(open.length, start);
    }
    if (sequence !== undefined)
      throw this.#failure("Cannot read a template: a sequence does not end with }", limit - 1, limit);
  }

  #token(open: Bracket[]): void {
    const start = this.#at;
    if (this.#text[start] === '"') {
      this.#add(T.Open, start, '"', false, start + 1);
      this.#parts(readQuoted(this.#source, start, this.#dialect));
      return;
    }
    const here = this.#dialect === "hcl" ? this.#match(HERE) : undefined;
    if (here !== undefined) {
      const document: HereDocument = readHereDocument(this.#source, start, this.#at);
      this.#add(T.Open, start, here, false, this.#at);
      this.#parts(document);
      return;
    }
    const name = this.#match(IDENTIFIER);
    if (name !== undefined) {
      this.#add(this.#wordType(name, open), start, name);
      return;
    }
    const number = this.#match(NUMBER);
    if (number !== undefined) {
      this.#add(T.NumberText, start, number);
      return;
    }
    const sign = T.SIGNS.find(([text]) => this.#text.startsWith(text, start));
    if (sign === undefined) {
      const character = String.fromCodePoint(this.#text.codePointAt(start) ?? 0);
      const hint = character === "'" ? 'texts stand between double quotes: "..."' : undefined;
      throw this.#failure(
        `Cannot read the character ${JSON.stringify(character)}`,
        start,
        start + character.length,
        hint,
      );
    }
    this.#at += sign[0].length;
    this.#add(sign[1], start, sign[0]);
    this.#bracket(sign[0], open);
  }

  #bracket(sign: string, open: Bracket[]): void {
    const close = { "{": "}", "(": ")", "[": "]" }[sign];
    if (close !== undefined) {
      const isLoop = sign === "{" && /^\s*for\s+[\p{ID_Start}_]/u.test(this.#text.slice(this.#at, this.#at + 200));
      open.push({ close, newlines: sign === "{" && !isLoop ? "lines" : "free" });
    } else if (open.at(-1)?.close === sign) open.pop();
  }

  /** Emits a template's text and, between its pieces, the tokens of its sequences. */
  #parts(parts: Iterator<RawPart, void, number>): void {
    this.#depth += 1;
    let next = parts.next(this.#at);
    while (next.done !== true) {
      const part = next.value;
      this.#at = part.end;
      if (part.kind === "text") this.#add(T.Text, part.start, part.text);
      else if (part.kind === "close") this.#add(T.Close, part.start, "");
      else {
        if (part.kind === "interpolation") this.#add(T.Interpolation, part.start, "${", part.trims);
        else this.#control(part.start, part.trims);
        this.#depthCheck(0, part.start);
        this.code(this.#text.length, "sequence");
      }
      next = parts.next(this.#at);
    }
    this.#depth -= 1;
  }

  #control(start: number, trims: boolean): void {
    const word = this.#match(CONTROL)?.trim();
    const kind = word === undefined ? undefined : CONTROLS[word];
    if (kind === undefined) {
      throw this.#failure(
        "Cannot read a template's directive",
        start,
        this.#at,
        "directives are if, else, endif, for and endfor; %%{ is the text %{",
      );
    }
    this.#add(kind, start, word ?? "", trims);
  }

  #wordType(name: string, open: readonly Bracket[]): TokenType {
    if (name === "in") return T.In;
    if (name === "if") return T.If;
    const before = this.#tokens.at(-1)?.tokenType;
    const begins = before === T.BracketOpen || (before === T.BraceOpen && open.at(-1)?.newlines === "free");
    const isFor = name === "for" && begins && /^\s+[\p{ID_Start}_]/u.test(this.#text.slice(this.#at, this.#at + 200));
    return isFor ? T.For : T.Identifier;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return undefined;
    this.#at = pattern.lastIndex;
    return found[0];
  }

  #add(kind: TokenType, start: number, image: string, trims = false, end = Math.max(start, this.#at)): void {
    this.#at = Math.max(this.#at, end);
    this.#tokens.push(new T.HclToken(kind, image, T.spanning(this.#source, start, end), trims));
  }

  #depthCheck(open: number, start: number): void {
    if (open + this.#depth > MAX_DEPTH)
      throw this.#failure(`Cannot read more than ${MAX_DEPTH} brackets inside each other`, start, start + 1);
  }

  #failure(message: string, start: number, end: number, hint?: string): Error {
    return syntaxFailure(message, T.spanning(this.#source, start, end), hint);
  }
}
