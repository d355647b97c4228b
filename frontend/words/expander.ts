import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";
import { nameAt } from "./name.ts";
import { OperatorError, operate, replaceIn, shorten, takesPattern, unsupported } from "./operators.ts";
import { WordList } from "./word-list.ts";
import type { Escape } from "./escape.ts";

/** The source of variables' values: a Map, or anything with the same method. */
export interface Variables {
  get(name: string): string | undefined;
}

export interface ExpandOptions {
  /** The file's escape character. */
  readonly escape: Escape;
  /** `heredoc`: quotes are ordinary characters and stay. Default `word`: quotes are removed. */
  readonly quotes?: "word" | "heredoc";
  /** `keep`: references to unset variables stay as written, for display. Default `empty`. */
  readonly unset?: "empty" | "keep";
  /** `keep`: escape characters stay before the characters they protect, for display. Default `drop`. */
  readonly escapes?: "drop" | "keep";
  /** The place for errors. */
  readonly span?: Span | undefined;
}

// No real file nests this deep; the limit keeps a hostile file from exhausting the stack.
const MAX_DEPTH = 500;

/** Limit in UTF-16 code units. `ENV a=$a$a` doubles with every line: without a limit, forty lines make a terabyte. */
const MAX_LENGTH = 16 * 1024 * 1024;

const NONE: ReadonlySet<string> = new Set();

/**
 * One pass over one word. It follows the shell word lexer of Docker's frontend, because people rely on its corner
 * cases.
 */
export class Expander {
  readonly #source: string;
  readonly #variables: Variables;
  readonly #escape: Escape;
  readonly #hasQuotes: boolean;
  readonly #keepsUnset: boolean;
  readonly #escapes: "drop" | "keep";
  readonly #span: Span | undefined;
  /** True when quotes and escapes stay in the result. */
  readonly #isRaw: boolean;
  #used: Set<string> | undefined;
  #unset: Set<string> | undefined;
  #at = 0;
  #depth = 0;

  constructor(source: string, variables: Variables, options: ExpandOptions, marks: "raw" | "removed" = "removed") {
    this.#source = source;
    this.#variables = variables;
    this.#escape = options.escape;
    this.#hasQuotes = options.quotes !== "heredoc";
    this.#keepsUnset = options.unset === "keep";
    this.#escapes = options.escapes ?? "drop";
    this.#span = options.span;
    this.#isRaw = marks === "raw";
  }

  /** Names that were looked up and had a value. */
  get used(): ReadonlySet<string> {
    return this.#used ?? NONE;
  }

  /** Names that were looked up and had none, in order of first use. */
  get unset(): ReadonlySet<string> {
    return this.#unset ?? NONE;
  }

  /** Expands into one text, and into `words` when given; `starts` gets the offsets of those words. */
  run(words?: string[], starts?: number[]): string {
    const list = words === undefined ? undefined : new WordList(words, starts ?? []);
    return this.#text(undefined, this.#isRaw ? "keep" : this.#escapes, list);
  }

  /**
   * Expands up to `stop`, which is consumed, or to the end. `escapes: "keep"` leaves escape characters in the result,
   * for patterns, which read them again.
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
      const heredoc = this.#isRaw && char === "<" ? heredocSign(source, this.#at) : undefined;
      if (char !== "$" && char !== this.#escape && !isQuote && heredoc === undefined) {
        this.#at += 1;
        continue;
      }
      const run = source.slice(runStart, this.#at);
      const pieceStart = this.#at;
      words?.addSplit(run, runStart);
      let piece: string;
      if (heredoc !== undefined) {
        piece = heredoc;
        this.#at += piece.length;
        words?.add(piece, pieceStart);
      } else if (char === "$") {
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
        // An escape before an ordinary character stays; at the end of the word it is dropped.
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
        throw this.#error(unsupported(operator).message);
    }
  }

  /** Expands the rest of `${name-word}`; `written` is the operator with its colon. */
  #modified(name: string, operator: string, written: string): string {
    const word = this.#until("}", takesPattern(operator) ? "keep" : "drop", "syntax error: missing '}'");
    const value = this.#look(name);
    if (value === undefined && this.#keepsUnset) return `\${${name}${written}${word}}`;
    const hasColon = written.length > operator.length;
    return this.#attempt(() => operate({ name, operator, hasColon, word }, value));
  }

  /** Expands the rest of `${name/pattern/replacement}`. */
  #replaced(name: string): string {
    const isAll = this.#source[this.#at] === "/";
    if (isAll) this.#at += 1;
    const pattern = this.#until("/", "keep", "syntax error: missing '/' in ${}");
    const replacement = this.#until("}", "keep", "syntax error: missing '}'");
    const value = this.#look(name);
    if (value === undefined && this.#keepsUnset) return `\${${name}/${pattern}/${replacement}}`;
    const by = { text: replacement, count: isAll ? "all" : "first" } as const;
    return this.#attempt(() => replaceIn(value ?? "", pattern, by, MAX_LENGTH));
  }

  /** Does the same as `#text`; `missing` is the message when the word ends before `stop`. */
  #until(stop: string, escapes: "drop" | "keep", missing: string): string {
    try {
      return this.#text(stop, escapes);
    } catch (error) {
      // At the end of the word, whatever the error, the likely cause is a forgotten brace.
      if (error instanceof EndOfWord || this.#at >= this.#source.length) throw this.#error(missing);
      throw error;
    }
  }

  #attempt(work: () => string): string {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      throw this.#error(error.message);
    }
  }

  #name(): string {
    const name = nameAt(this.#source, this.#at);
    this.#at += name.length;
    return name;
  }

  /** Consumes and returns the next character; empty at the end. */
  #take(): string {
    if (this.#at >= this.#source.length) return "";
    const length = characterLength(this.#source, this.#at);
    const char = this.#source.slice(this.#at, this.#at + length);
    this.#at += length;
    return char;
  }

  #look(name: string): string | undefined {
    const value = this.#variables.get(name);
    if (value === undefined) (this.#unset ??= new Set()).add(name);
    else (this.#used ??= new Set()).add(name);
    return value;
  }

  #bounded(text: string): string {
    if (text.length > MAX_LENGTH) throw this.#error(`the result is longer than ${String(MAX_LENGTH)} characters`);
    return text;
  }

  #error(message: string): BuildError {
    const text = `failed to process ${JSON.stringify(shorten(this.#source))}: ${message}`;
    return new BuildError("dockerfile/expansion", text, { span: this.#span });
  }
}

/** A signal that the word ended inside braces. The caller that opened them always catches it. */
class EndOfWord extends Error {}

const HEREDOC_SIGN = /<<-?[ \t\r]*/y;

/** Returns `<<` or `<<-` with the blanks after it. They belong to the word: the name may stand apart. */
function heredocSign(text: string, offset: number): string | undefined {
  HEREDOC_SIGN.lastIndex = offset;
  return HEREDOC_SIGN.exec(text)?.[0];
}

function characterLength(text: string, offset: number): 1 | 2 {
  const point = text.codePointAt(offset);
  return point !== undefined && point > 0xffff ? 2 : 1;
}
