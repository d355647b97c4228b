import { BuildError } from "../../../lib/core/errors.ts";
import { suggest } from "../../../lib/core/suggest.ts";
import { KANIKO_FLAGS, type KanikoFlag } from "./flags.ts";

/** The flags of one command line, by their names without the dashes. */
export interface GivenFlags {
  readonly texts: ReadonlyMap<string, string>;
  readonly lists: ReadonlyMap<string, readonly string[]>;
  readonly switches: ReadonlyMap<string, boolean>;
  /** Names as they were written, in order, each once. */
  readonly names: readonly string[];
}

/** A word that names a flag, and the value joined to it. */
interface FlagWord {
  readonly name: string;
  readonly flag: KanikoFlag;
  readonly value: string | undefined;
}

/**
 * Reads a command line of kaniko's executor as pflag does.
 * @throws {BuildError} `cli/usage` for an unknown flag, a missing value, a word that is no flag
 */
export function readKanikoWords(words: readonly string[]): GivenFlags {
  const texts = new Map<string, string>();
  const lists = new Map<string, readonly string[]>();
  const switches = new Map<string, boolean>();
  const names = new Set<string>();
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? "";
    const { name, flag, value } = word.startsWith("--") ? longFlag(word) : shortFlag(word);
    names.add(name);
    if (flag.takes === "switch") {
      switches.set(name, value === undefined || booleanOf(name, value));
      continue;
    }
    if (value === undefined) index += 1;
    const given = value ?? words[index];
    if (given === undefined) throw usage(`Cannot use --${name}: its value is missing`, `write --${name}=VALUE`);
    if (flag.takes === "text") texts.set(name, given);
    else lists.set(name, [...(lists.get(name) ?? []), given]);
  }
  return { texts, lists, switches, names: [...names] };
}

function longFlag(word: string): FlagWord {
  const equals = word.indexOf("=");
  const written = word.slice(2, equals === -1 ? undefined : equals);
  const value = equals === -1 ? undefined : word.slice(equals + 1);
  for (const [name, flag] of Object.entries(KANIKO_FLAGS)) {
    if (name === written || flag.aliases?.includes(written) === true) return { name, flag, value };
  }
  throw unknownFlag(`--${written}`);
}

/** Reads `-d x`, `-dx` and `-d=x`: kaniko's letters all take a value. */
function shortFlag(word: string): FlagWord {
  if (!word.startsWith("-") || word === "-") {
    throw usage(
      `Cannot use the argument ${JSON.stringify(word)}: kaniko's executor takes flags only`,
      "the context is given by --context, a name by --destination; kiln's own command is kiln build",
    );
  }
  const rest = word.slice(2);
  for (const [name, flag] of Object.entries(KANIKO_FLAGS)) {
    if (flag.short === word[1]) return { name, flag, value: rest === "" ? undefined : rest.replace(/^=/, "") };
  }
  throw unknownFlag(word.slice(0, 2));
}

function unknownFlag(flag: string): BuildError {
  const guess = suggest(flag.slice(2), Object.keys(KANIKO_FLAGS));
  const help = '"kiln executor --help" lists kaniko\'s flags; kiln\'s own are for "kiln build"';
  return usage(`unknown flag ${flag}`, guess === undefined ? help : `did you mean --${guess}? ${help}`);
}

function booleanOf(name: string, value: string): boolean {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw usage(`Cannot use --${name}=${value}: it is neither true nor false`);
}

export function usage(message: string, hint?: string): BuildError {
  return new BuildError("cli/usage", message, { hint });
}
