import type { Command, Option } from "commander";

/** A flag as help, man pages and completion show it. */
export interface FlagEntry {
  /** `--tag`, and `-t` if there is one. */
  readonly names: readonly string[];
  /** Its value's name without brackets, `os/arch`; absent for a switch. */
  readonly value?: string;
  /** True when the value may be left out. */
  readonly isOptional: boolean;
  readonly text: string;
  /** Heading of its group in the help; absent in the first one. */
  readonly group?: string;
}

/** A command as help, man pages and completion show it. */
export interface CommandEntry {
  /** kiln's own name; empty for kiln itself. */
  readonly name: string;
  /** The words that people type, `manifest create`: the name of a command that stands in a group, or the name itself. */
  readonly words: string;
  /** `[options] <image> [command...]`. */
  readonly usage: string;
  readonly text: string;
  readonly flags: readonly FlagEntry[];
  /** Command lines, each with its purpose. */
  readonly examples: readonly (readonly [line: string, what: string])[];
}

/** All commands: the file `build/commands.json`, which completion and man pages are made of. */
export interface CommandTable {
  readonly version: string;
  readonly kiln: CommandEntry;
  readonly commands: readonly CommandEntry[];
  /** docker's words: group, word, and the words that kiln has for it. */
  readonly groups: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

/** Describes the declared commands as plain data. */
export function commandTable(program: Command, groups: CommandTable["groups"], version: string): CommandTable {
  return {
    version,
    kiln: entryOf(program, "kiln"),
    commands: program.commands.map((command) => entryOf(command, wordsOf(command.name(), groups))),
    groups,
  };
}

function entryOf(command: Command, words: string): CommandEntry {
  const help: Option[] = [command.createOption("-h, --help", "show this help")];
  return {
    name: command.parent === null ? "" : command.name(),
    words,
    usage: command.usage(),
    text: command.description(),
    flags: [...command.options.filter((option) => !option.hidden), ...help].map(flagOf),
    examples: examplesOf(command),
  };
}

function flagOf(option: Option): FlagEntry {
  const [, value] = /[<[]([^>]*)[>\]]$/.exec(option.flags) ?? [];
  const names = [option.long, option.short].filter((name) => name !== undefined);
  return {
    names,
    ...(value === undefined ? {} : { value: value.replace(/\]$/, "") }),
    isOptional: option.optional,
    text: option.description,
    ...(option.helpGroupHeading === undefined ? {} : { group: option.helpGroupHeading }),
  };
}

/** A command with a dash that has a place in a group, `manifest-create`, is typed with a space. */
function wordsOf(name: string, groups: CommandTable["groups"]): string {
  const [group, word] = [name.slice(0, name.indexOf("-")), name.slice(name.indexOf("-") + 1)];
  return Object.hasOwn(groups, group) && Object.hasOwn(groups[group] ?? {}, word) ? `${group} ${word}` : name;
}

/** Reads the examples back from a command's help, which is where they are declared. */
function examplesOf(command: Command): readonly (readonly [string, string])[] {
  let text = "";
  command.configureOutput({ writeOut: (piece) => void (text += piece) });
  command.outputHelp();
  return [...text.matchAll(/^ {2}(kiln .*?|docker .*?)(?: {2,}(.*))?$/gm)].map(
    ([, line = "", what = ""]) => [line, what] as const,
  );
}
