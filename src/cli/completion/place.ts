import type { CommandEntry, CommandTable, FlagEntry } from "../command-table.ts";

/** The word that is being typed, and its kind. */
export type Place =
  | { readonly kind: "command"; readonly group: string | undefined }
  | { readonly kind: "flag"; readonly command: CommandEntry }
  /** `typed` is the beginning of the value; `before` what stands before it in the word, `--tag=`. */
  | {
      readonly kind: "value";
      readonly command: CommandEntry;
      readonly flag: FlagEntry;
      readonly before: string;
      readonly typed: string;
      readonly given: Given;
    }
  | { readonly kind: "operand"; readonly command: CommandEntry; readonly given: Given };

/** Meaning of the words so far. */
export interface Given {
  /** Values by the long name of their flag, in order. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly operands: readonly string[];
}

/** Commands whose further arguments are another program's. */
const PASS_THROUGH: ReadonlySet<string> = new Set(["run", "shell"]);

/** Finds what the last word is. The first one is the program's name. */
export function placeOf(table: CommandTable, words: readonly string[]): Place {
  const typed = words.at(-1) ?? "";
  const values = new Map<string, string[]>();
  let before = words.slice(1, -1);
  let command = table.kiln;
  const operands: string[] = [];
  let group: string | undefined;
  let isOver = false;
  let waiting: FlagEntry | undefined;
  while (before.length > 0) {
    const [word = "", ...rest] = before;
    before = rest;
    if (waiting !== undefined) {
      keep(values, waiting, word);
      waiting = undefined;
    } else if (isOver || word === "-" || !word.startsWith("-")) {
      if (command.name !== "" || isOver) operands.push(word);
      else {
        const found = commandOf(table, group, word);
        if (found === undefined) group = group === undefined ? word : group === "buildx" ? word : `${group} ${word}`;
        else command = found;
      }
      if (PASS_THROUGH.has(command.name) && operands.length > 0) isOver = true;
    } else if (word === "--") isOver = true;
    else waiting = flagWord(table, command, word, values);
  }
  const given = { values, operands };
  if (waiting !== undefined) return { kind: "value", command, flag: waiting, before: "", typed, given };
  if (typed.startsWith("-") && !isOver) {
    const equals = typed.indexOf("=");
    if (equals === -1) return { kind: "flag", command };
    const flag = flagOf(table, command, typed.slice(0, equals));
    if (flag === undefined) return { kind: "flag", command };
    const [prefix, rest] = [typed.slice(0, equals + 1), typed.slice(equals + 1)];
    return { kind: "value", command, flag, before: prefix, typed: rest, given };
  }
  return command.name === "" ? { kind: "command", group } : { kind: "operand", command, given };
}

/** Reads a word with flags; returns the flag whose value is the next word. */
function flagWord(
  table: CommandTable,
  command: CommandEntry,
  word: string,
  values: Map<string, string[]>,
): FlagEntry | undefined {
  const equals = word.indexOf("=");
  if (word.startsWith("--")) {
    const flag = flagOf(table, command, equals === -1 ? word : word.slice(0, equals));
    if (flag?.value === undefined) return undefined;
    if (equals !== -1) keep(values, flag, word.slice(equals + 1));
    return equals === -1 && !flag.isOptional ? flag : undefined;
  }
  for (let index = 1; index < word.length; index += 1) {
    const flag = flagOf(table, command, `-${word[index]}`);
    if (flag?.value === undefined) continue;
    const rest = word.slice(index + 1).replace(/^=/, "");
    if (rest === "") return flag;
    keep(values, flag, rest);
    return undefined;
  }
  return undefined;
}

function flagOf(table: CommandTable, command: CommandEntry, name: string): FlagEntry | undefined {
  return [...command.flags, ...table.kiln.flags].find((flag) => flag.names.includes(name));
}

function keep(values: Map<string, string[]>, flag: FlagEntry, value: string): void {
  const name = flag.names[0] ?? "";
  values.set(name, [...(values.get(name) ?? []), value]);
}

/** The command that a word means, by kiln's name or docker's in a group. */
function commandOf(table: CommandTable, group: string | undefined, word: string): CommandEntry | undefined {
  const named = (name: string | undefined): CommandEntry | undefined =>
    table.commands.find((command) => command.name === name);
  if (group === undefined) return named(word);
  const words = Object.hasOwn(table.groups, group) ? table.groups[group] : undefined;
  return words !== undefined && Object.hasOwn(words, word) ? named(words[word]?.[0]) : undefined;
}
