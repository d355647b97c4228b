import type { CommandEntry, CommandTable, FlagEntry } from "../command-table.ts";
import { FLAG_VALUES, type NameKind, OPERANDS, type Values } from "./flag-values.ts";
import { type Given, type Place, placeOf } from "./place.ts";

/** A word that may be meant, and what it is. */
export interface Candidate {
  readonly word: string;
  readonly text: string;
}

export interface Answer {
  readonly candidates: readonly Candidate[];
  readonly paths: "files" | "folders" | undefined;
  /** True when more is to be typed right behind a candidate. */
  readonly hasMore: boolean;
}

/** Reads names of a kind; `given` says of which files. */
export type ReadNames = (kind: NameKind, given: Given) => readonly string[];

/** Finds what the last word may become. */
export function answer(table: CommandTable, words: readonly string[], read: ReadNames): Answer {
  const typed = words.at(-1) ?? "";
  const place = placeOf(table, words);
  const found = candidatesAt(table, place, typed, read);
  const candidates = found.candidates.filter(({ word }) => word.startsWith(typed));
  const hasMore = candidates.length > 0 && candidates.every(({ word }) => word.endsWith("=") || word.endsWith(","));
  return { ...found, candidates, hasMore };
}

function candidatesAt(table: CommandTable, place: Place, typed: string, read: ReadNames): Omit<Answer, "hasMore"> {
  switch (place.kind) {
    case "command":
      return { candidates: commandsIn(table, place.group, typed), paths: undefined };
    case "flag":
      return { candidates: flagsOf(table, place.command), paths: undefined };
    case "value": {
      const values = valuesOf(place.command, place.flag);
      return expand(values, { before: place.before, typed: place.typed }, (kind) => read(kind, place.given));
    }
    case "operand": {
      const { command, given } = place;
      const isOver = command.name === "run" && given.operands.length > 0;
      const values: Values = isOver ? { paths: "files" } : (OPERANDS[command.name] ?? operandsBy(command));
      return expand(values, { before: "", typed }, (kind) => read(kind, given));
    }
    default:
      return place satisfies never;
  }
}

/** Commands, or the words of a group. */
function commandsIn(table: CommandTable, group: string | undefined, typed: string): Candidate[] {
  if (group !== undefined) {
    const words = Object.hasOwn(table.groups, group) ? table.groups[group] : undefined;
    return Object.entries(words ?? {}).map(([word, [name]]) => ({ word, text: textOf(table, name) }));
  }
  if (typed.startsWith("-")) return flagsOf(table, table.kiln);
  const own = table.commands
    .filter(({ name, words }) => name === words)
    .map(({ name, text }) => ({ word: name, text }));
  const groups = Object.entries(table.groups).map(([word, words]) => ({
    word,
    text: Object.keys(words).slice(0, 4).join(", "),
  }));
  return [...own, ...groups];
}

function textOf(table: CommandTable, name: string | undefined): string {
  return table.commands.find((command) => command.name === name)?.text ?? "";
}

function flagsOf(table: CommandTable, command: CommandEntry): Candidate[] {
  const root = command === table.kiln ? [] : table.kiln.flags.filter(({ names }) => names.includes("--root"));
  return [...command.flags, ...root]
    .toSorted((a, b) => Number(a.group !== undefined) - Number(b.group !== undefined))
    .flatMap(({ names, text }) => names.map((word) => ({ word, text })));
}

/** Lists a flag's possible values: by the table, or by the name of its value. */
function valuesOf(command: CommandEntry, flag: FlagEntry): Values {
  const name = flag.names[0] ?? "";
  const known = FLAG_VALUES[`${command.name} ${name}`] ?? FLAG_VALUES[name];
  if (known !== undefined) return known;
  if (/^(?:path|file)\b/.test(flag.value ?? "")) return { paths: "files" };
  if (flag.value === "directory") return { paths: "folders" };
  return {};
}

function operandsBy(command: CommandEntry): Values {
  return /path|file/.test(command.usage) ? { paths: "files" } : {};
}

function expand(
  { words = [], names, paths, isList = false }: Values,
  { before, typed }: { readonly before: string; readonly typed: string },
  read: (kind: NameKind) => readonly string[],
): Omit<Answer, "hasMore"> {
  const head = isList ? typed.slice(0, typed.lastIndexOf(",") + 1) : "";
  const used = new Set(head.split(","));
  const found = names === undefined ? [] : read(names);
  const tail = names === "arg" ? "=" : "";
  const all = [...new Set([...words, ...found.map((name) => `${name}${tail}`)])].filter((word) => !used.has(word));
  return { candidates: all.map((word) => ({ word: `${before}${head}${word}`, text: "" })), paths };
}
