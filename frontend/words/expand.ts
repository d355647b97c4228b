import { BuildError } from "../../lib/core/errors.ts";
import { Expander, type ExpandOptions, type Variables } from "./expander.ts";

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
  return { text, used: expander.used, unset: expander.unset };
}

export interface WordsExpansion extends Omit<Expansion, "text"> {
  readonly words: readonly string[];
}

/**
 * Does the same as {@link expandWord}, and splits at white space outside quotes, also inside the values of variables.
 * Of all instructions only EXPOSE splits like this.
 */
export function expandToWords(word: string, variables: Variables, options: ExpandOptions): WordsExpansion {
  const expander = new Expander(word, variables, options);
  const words: string[] = [];
  expander.run(words);
  return { words, used: expander.used, unset: expander.unset };
}

/** A word and its offset in the text. */
export interface RawWord {
  readonly text: string;
  readonly start: number;
}

/**
 * Lists the words of a shell command line as written, quotes and escapes in place, to look for heredocs in them. None
 * when the text has an open quote or brace.
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

function isPlain(word: string, options: ExpandOptions): boolean {
  if (word.includes("$") || word.includes(options.escape)) return false;
  return options.quotes === "heredoc" || !(word.includes('"') || word.includes("'"));
}
