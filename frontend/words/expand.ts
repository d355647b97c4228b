import { BuildError } from "../../src/core/errors.ts";
import type { Span } from "../../src/core/span.ts";
import type { Escape } from "../instructions/dockerfile.ts";
import { isSpace } from "./spaces.ts";
import { PatternError, removePrefix, removeSuffix, replacePattern } from "./pattern.ts";

/** Where values come from: a Map, or anything that answers like one. */
export interface Variables {
  get(name: string): string | undefined;
}

export interface ExpandOptions {
  /** The file's escape character. */
  readonly escape: Escape;
  /** `heredoc`: quotes are ordinary characters and stay. Default `word`: quotes are taken off. */
  readonly quotes?: "word" | "heredoc";
  /** `keep`: references to unset variables stay as written, for showing a word to people. Default `empty`. */
  readonly unset?: "empty" | "keep";
  /** What to blame in an error. */
  readonly span?: Span | undefined;
}

export interface Expansion {
  readonly text: string;
  /** Names that were looked up and had a value. */
  readonly used: ReadonlySet<string>;
  /** Names that were looked up and had none, in order of first use. */
  readonly unset: ReadonlySet<string>;
}

/**
 * Expands variables, removes quotes and escapes, as a shell does for one word (white space does not split it).
 * Forms: `$name ${name} ${name:-word} ${name-word} :+ + :? ? # ## % %% / //`.
 *
 * @throws {BuildError} `dockerfile/expansion` for an open quote or brace, an unknown form, a failed `${name?message}`
 */
export function expandWord(word: string, variables: Variables, options: ExpandOptions): Expansion {
  if (isPlain(word, options)) return { text: word, used: NONE, unset: NONE };
  const expander = new Expander(word, variables, options);
  const text = expander.run();
  return { text, used: expander.used, unset: expander.missing };
}

export interface WordsExpansion extends Omit<Expansion, "text"> {
  readonly words: readonly string[];
}

/**
 * As {@link expandWord}, and white space outside quotes, also inside the values of variables, separates words.
 * Of all instructions only EXPOSE splits like this.
 */
export function expandToWords(word: string, variables: Variables, options: ExpandOptions): WordsExpansion {
  const expander = new Expander(word, variables, options);
  const words: string[] = [];
  expander.run(words);
  return { words, used: expander.used, unset: expander.missing };
}

/** A word and where it begins in the text. */
export interface RawWord {
  readonly text: string;
  readonly start: number;
}

/**
 * The words of a shell command line as they are written, quotes and escapes in place: what heredocs are looked for in.
 * None when the text has an open quote or brace.
 */
export function rawWords(text: string): readonly RawWord[] {
  const expander = new Expander(text, NO_VARIABLES, { escape: "\\", unset: "keep" }, "raw");
  const words: string[] = [];
  const starts: number[] = [];
  try {
    expander.run(words, starts);
  } catch (error) {
    if (error instanceof BuildError && error.code === "dockerfile/expansion") return [];
    throw error;
  }
  return words.map((word, index) => ({ text: word, start: starts[index] ?? 0 }));
}

const NO_VARIABLES: Variables = { get: () => undefined };

const NONE: ReadonlySet<string> = new Set();

// Nobody nests this deep; it keeps a hostile file from exhausting the stack.
const MAX_DEPTH = 500;

/** UTF-16 code units. `ENV a=$a$a` doubles with every line: without a bound, forty lines are a terabyte. */
const MAX_LENGTH = 16 * 1024 * 1024;

const NAME = /[\p{L}\p{Nd}_]+/uy;
const DIGITS = /\p{Nd}+/uy;
const SPECIAL_PARAMETERS = "@*#?-$!0";

function isPlain(word: string, options: ExpandOptions): boolean {
  if (word.includes("$") || word.includes(options.escape)) return false;
  return options.quotes === "heredoc" || !(word.includes('"') || word.includes("'"));
}

/** One pass over one word. Written after the shell word lexer of Docker's frontend, whose corner cases people rely on. */
class Expander {
  readonly #source: string;
  readonly #variables: Variables;
  readonly #escape: Escape;
  readonly #hasQuotes: boolean;
  readonly #keepsUnset: boolean;
  readonly #span: Span | undefined;
  /** Quotes and escapes stay in the result. */
  readonly #isRaw: boolean;
  readonly used = new Set<string>();
  readonly missing = new Set<string>();
  #at = 0;
  #depth = 0;

  constructor(source: string, variables: Variables, options: ExpandOptions, marks: "raw" | "removed" = "removed") {
    this.#source = source;
    this.#variables = variables;
    this.#escape = options.escape;
    this.#hasQuotes = options.quotes !== "heredoc";
    this.#keepsUnset = options.unset === "keep";
    this.#span = options.span;
    this.#isRaw = marks === "raw";
  }

  /** Into one text, and into `words` when given; `starts` are the offsets of those. */
  run(words?: string[], starts?: number[]): string {
    const list = words === undefined ? undefined : new WordList(words, starts ?? []);
    return this.#text(undefined, this.#isRaw ? "keep" : "drop", list);
  }

  /**
   * Up to `stop`, which is consumed, or to the end. `escapes: "keep"` leaves escape characters in the result, for
   * patterns, which read them again.
   */
  #text(stop: string | undefined, escapes: "drop" | "keep", words?: WordList): string {
    const source = this.#source;
    let result = "";
    let runStart = this.#at;
    while (this.#at < source.length) {
      const char = source[this.#at];
      if (char === stop) {
        result += source.slice(runStart, this.#at);
        this.#at += 1;
        return result;
      }
      const isQuote = this.#hasQuotes && (char === "'" || char === '"');
      if (char !== "$" && char !== this.#escape && !isQuote) {
        this.#at += 1;
        continue;
      }
      const run = source.slice(runStart, this.#at);
      const pieceStart = this.#at;
      words?.addSplit(run, runStart);
      let piece: string;
      if (char === "$") {
        piece = this.#dollar();
        words?.addSplit(piece, pieceStart);
      } else if (isQuote) {
        piece = char === "'" ? this.#singleQuoted() : this.#doubleQuoted(escapes);
        if (this.#isRaw) piece = char + piece + char;
        words?.add(piece, pieceStart);
      } else {
        this.#at += 1;
        const length = this.#at < source.length ? characterLength(source, this.#at) : 0;
        piece = (escapes === "keep" ? char : "") + source.slice(this.#at, this.#at + length);
        this.#at += length;
        words?.add(piece, pieceStart);
      }
      result = this.#bounded(result + run + piece);
      runStart = this.#at;
    }
    if (stop !== undefined) throw new EndOfWord(`unexpected end of statement while looking for matching ${stop}`);
    const rest = source.slice(runStart);
    words?.addSplit(rest, runStart);
    words?.finish();
    return result + rest;
  }

  #singleQuoted(): string {
    const end = this.#source.indexOf("'", this.#at + 1);
    if (end === -1) {
      this.#at = this.#source.length;
      throw this.#error("unexpected end of statement while looking for matching single-quote");
    }
    const text = this.#source.slice(this.#at + 1, end);
    this.#at = end + 1;
    return text;
  }

  #doubleQuoted(escapes: "drop" | "keep"): string {
    const source = this.#source;
    this.#at += 1;
    let result = "";
    let runStart = this.#at;
    while (this.#at < source.length) {
      const char = source[this.#at];
      if (char === '"') {
        result += source.slice(runStart, this.#at);
        this.#at += 1;
        return result;
      }
      if (char === "$") {
        const run = source.slice(runStart, this.#at);
        result = this.#bounded(result + run + this.#dollar());
        runStart = this.#at;
      } else if (char === this.#escape) {
        const run = source.slice(runStart, this.#at);
        const next = source[this.#at + 1];
        const isEscaped = next === '"' || next === "$" || next === this.#escape;
        const kept = escapes === "keep" ? char : "";
        // An escape before an ordinary character stays as it is, and at the end of the word it is dropped.
        result += run + kept + (isEscaped ? next : next === undefined ? "" : char);
        this.#at += isEscaped ? 2 : 1;
        runStart = this.#at;
      } else {
        this.#at += 1;
      }
    }
    throw this.#error("unexpected end of statement while looking for matching double-quote");
  }

  #dollar(): string {
    this.#at += 1;
    if (this.#source[this.#at] === "{") {
      this.#depth += 1;
      if (this.#depth > MAX_DEPTH) throw this.#error(`substitutions are nested more than ${String(MAX_DEPTH)} deep`);
      const text = this.#braces();
      this.#depth -= 1;
      return text;
    }
    const name = this.#name();
    if (name === "") return "$";
    const value = this.#look(name);
    return value ?? (this.#keepsUnset ? `$${name}` : "");
  }

  #braces(): string {
    this.#at += 1;
    const first = this.#source[this.#at];
    if (first === undefined) throw this.#error("syntax error: missing '}'");
    if (first === "{" || first === "}" || first === ":") throw this.#error("syntax error: bad substitution");
    const name = this.#name();
    const operator = this.#take();
    switch (operator) {
      case "}": {
        const value = this.#look(name);
        return value ?? (this.#keepsUnset ? `\${${name}}` : "");
      }
      case ":": {
        const next = this.#take();
        return this.#modified(name, next, `:${next}`);
      }
      case "+":
      case "-":
      case "?":
      case "#":
      case "%":
        return this.#modified(name, operator, operator);
      case "/":
        return this.#replaced(name);
      case "":
        throw this.#error("syntax error: missing '}'");
      default:
        throw this.#error(`unsupported modifier (${operator}) in substitution`);
    }
  }

  /** The rest of `${name-word}`; `written` is the operator with its colon. */
  #modified(name: string, operator: string, written: string): string {
    const isPattern = operator === "#" || operator === "%";
    const word = this.#until("}", isPattern ? "keep" : "drop", "syntax error: missing '}'");
    const value = this.#look(name);
    if (value === undefined && this.#keepsUnset) return `\${${name}${written}${word}}`;
    const hasColon = written.length > operator.length;
    const counts = value !== undefined && !(hasColon && value === "");
    if (hasColon && isPattern) throw this.#error(`unsupported modifier (${written}) in substitution`);
    switch (operator) {
      case "-":
        return counts ? value : word;
      case "+":
        return counts ? word : "";
      case "?": {
        if (counts) return value;
        const message = `is not allowed to be ${value === undefined ? "unset" : "empty"}`;
        throw this.#error(`${name}: ${word === "" ? message : word}`);
      }
      case "#":
      case "%": {
        const isGreedy = word.startsWith(operator);
        const pattern = isGreedy ? word.slice(1) : word;
        const remove = operator === "#" ? removePrefix : removeSuffix;
        return this.#withPattern(pattern, () => remove(pattern, value ?? "", isGreedy ? "longest" : "shortest"));
      }
      default:
        throw this.#error(`unsupported modifier (${written}) in substitution`);
    }
  }

  /** The rest of `${name/pattern/replacement}`. */
  #replaced(name: string): string {
    const isAll = this.#source[this.#at] === "/";
    if (isAll) this.#at += 1;
    const pattern = this.#until("/", "keep", "syntax error: missing '/' in ${}");
    const replacement = this.#until("}", "keep", "syntax error: missing '}'");
    const value = this.#look(name);
    if (value === undefined && this.#keepsUnset) return `\${${name}/${pattern}/${replacement}}`;
    const count = isAll ? "all" : "first";
    const by = { text: replacement, count } as const;
    return this.#withPattern(pattern, () => replacePattern(pattern, value ?? "", by, MAX_LENGTH));
  }

  /** As `#text`; `missing` is the message when the word ends before `stop`. */
  #until(stop: string, escapes: "drop" | "keep", missing: string): string {
    try {
      return this.#text(stop, escapes);
    } catch (error) {
      // Whatever went wrong, at the end of the word the brace is what people forgot.
      if (error instanceof EndOfWord || this.#at >= this.#source.length) throw this.#error(missing);
      throw error;
    }
  }

  #withPattern(pattern: string, work: () => string): string {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      throw this.#error(`invalid pattern (${shorten(pattern)}) in substitution: ${error.message}`);
    }
  }

  #name(): string {
    const char = this.#source[this.#at] ?? "";
    DIGITS.lastIndex = this.#at;
    NAME.lastIndex = this.#at;
    // $10 is the name "10", but $1a is "1" followed by "a".
    let name = DIGITS.exec(this.#source)?.[0];
    if (name === undefined) {
      if (char !== "" && SPECIAL_PARAMETERS.includes(char)) name = char;
      else name = NAME.exec(this.#source)?.[0] ?? "";
    }
    this.#at += name.length;
    return name;
  }

  /** The next character, which is consumed; empty at the end. */
  #take(): string {
    if (this.#at >= this.#source.length) return "";
    const length = characterLength(this.#source, this.#at);
    const char = this.#source.slice(this.#at, this.#at + length);
    this.#at += length;
    return char;
  }

  #look(name: string): string | undefined {
    const value = this.#variables.get(name);
    (value === undefined ? this.missing : this.used).add(name);
    return value;
  }

  #bounded(text: string): string {
    if (text.length > MAX_LENGTH) throw this.#error(`the result is longer than ${String(MAX_LENGTH)} characters`);
    return text;
  }

  #error(message: string): BuildError {
    return new BuildError(
      "dockerfile/expansion",
      `failed to process ${JSON.stringify(shorten(this.#source))}: ${message}`,
      {
        span: this.#span,
      },
    );
  }
}

/** The word ended inside braces: always caught by the caller who opened them. */
class EndOfWord extends Error {}

/** Collects words; only white space given to `addSplit` separates them. Empty words do not count. */
class WordList {
  readonly #words: string[];
  readonly #starts: number[];
  #current = "";
  #start = 0;

  constructor(words: string[], starts: number[]) {
    this.#words = words;
    this.#starts = starts;
  }

  add(text: string, at: number): void {
    if (this.#current === "") this.#start = at;
    this.#current += text;
  }

  addSplit(text: string, at: number): void {
    let start = 0;
    for (let i = 0; i < text.length; i += 1) {
      if (!isSpace(text.charCodeAt(i))) continue;
      this.add(text.slice(start, i), at + start);
      this.finish();
      start = i + 1;
    }
    this.add(text.slice(start), at + start);
  }

  finish(): void {
    if (this.#current !== "") {
      this.#words.push(this.#current);
      this.#starts.push(this.#start);
    }
    this.#current = "";
  }
}

function characterLength(text: string, at: number): 1 | 2 {
  const point = text.codePointAt(at);
  return point !== undefined && point > 0xffff ? 2 : 1;
}

function shorten(text: string): string {
  return text.length <= 120 ? text : `${text.slice(0, 117)}...`;
}
