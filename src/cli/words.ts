import type { Command, Option } from "commander";
import { BuildError } from "../../lib/core/errors.ts";
import { checkEmpty, emptyValue } from "./flags/empty-values.ts";

/** `--pull=always`: values of buildah and podman for a switch of docker's. */
const PULL_WORDS = ["always", "missing", "ifnotpresent", "newer", "never"];

/** Flags with an optional value, and the values that also count as a word of their own. */
const OPTIONAL_VALUES: Readonly<Record<string, readonly string[]>> = {
  "--explain": ["text", "json"],
  "--expect-cached": [],
  "--summary": [],
  // Of `kiln run`; a switch in other commands.
  "--pull": PULL_WORDS,
};

/** Finds the command among the words: the first one that is neither a flag of kiln itself nor the value of one. */
export function commandIndex(argv: readonly string[]): number {
  for (let index = 0; index < argv.length; index += 1) {
    const word = argv[index] ?? "";
    if (word === "--root") index += 1;
    else if (!word.startsWith("-") || word === "-") return index;
  }
  return -1;
}

/**
 * Normalises the words for commander: `--name=value` for flags with a value, switches that are true, and then the
 * arguments. The rules are those of docker's command line: `-abc`, `-t x`, `-tx`, `-t=x`, `--name x`, `--name=x`,
 * `--switch=false`, the last of a switch counts, and flags may follow arguments. `--root` may also follow the command.
 * @param unknown receives each unknown flag before commander does
 * @throws {BuildError} `cli/usage`
 */
export function canonicalWords(
  program: Command,
  argv: readonly string[],
  unknown: (command: string, flag: string) => void = () => undefined,
): readonly string[] {
  const place = commandIndex(argv);
  const command = program.commands.find((one) => one.name() === argv[place]);
  // `kiln --help build` is about kiln.
  const isForKiln = argv
    .slice(0, Math.max(0, place))
    .some((word) => word.startsWith("-") && !word.startsWith("--root"));
  if (command === undefined || isForKiln) return argv;
  const reader = new WordReader(program, command, unknown);
  return reader.read(argv.slice(0, place), argv.slice(place + 1));
}

/** Commands with another program's command line in their further arguments. */
const PASS_THROUGH: ReadonlySet<string> = new Set(["run", "shell"]);

class WordReader {
  readonly #command: Command;
  readonly #options = new Map<string, Option>();
  readonly #unknown: (command: string, flag: string) => void;
  readonly #flags: string[] = [];
  readonly #globals: string[] = [];
  readonly #switches = new Map<string, boolean>();
  readonly #operands: string[] = [];
  /** A flag without its value: commander reports it. */
  #last: string | undefined;

  constructor(program: Command, command: Command, unknown: (command: string, flag: string) => void) {
    this.#command = command;
    this.#unknown = unknown;
    const root = program.options.filter((option) => option.long === "--root");
    for (const option of [...root, ...command.options]) {
      for (const name of [option.short, option.long]) if (name !== undefined) this.#options.set(name, option);
    }
  }

  read(before: readonly string[], after: readonly string[]): readonly string[] {
    const words = [...before, ...after];
    for (let index = 0; index < words.length;) {
      const word = words[index] ?? "";
      if (word === "--" || (PASS_THROUGH.has(this.#command.name()) && isOperand(word))) {
        this.#operands.push(...words.slice(word === "--" ? index + 1 : index));
        break;
      }
      index += 1;
      if (isOperand(word)) this.#operands.push(word);
      else if (word.startsWith("--")) index += this.#long(word, words[index]);
      else index += this.#short(word, words[index]);
    }
    return this.#written();
  }

  #written(): readonly string[] {
    const name = this.#command.name();
    const switches = [...this.#switches].flatMap(([flag, isOn]) => (isOn ? [flag] : []));
    const head = [...this.#globals, name, ...this.#flags, ...switches];
    if (this.#last !== undefined) return [...head, this.#last];
    const checked = PASS_THROUGH.has(name) ? this.#operands.slice(0, 1) : this.#operands;
    if (checked.includes("")) throw emptyArgument(name);
    return this.#operands.length === 0 ? head : [...head, "--", ...this.#operands];
  }

  /**
   * Reads a long flag.
   * @returns how many of the next words were its value
   */
  #long(word: string, next: string | undefined): number {
    const equals = word.indexOf("=");
    const name = equals === -1 ? word : word.slice(0, equals);
    return this.#take(name, equals === -1 ? undefined : word.slice(equals + 1), word, next);
  }

  /** Reads letters in a row: switches, up to the first with a value, which is the rest. */
  #short(word: string, next: string | undefined): number {
    for (let index = 1; index < word.length; index += 1) {
      const name = `-${word[index]}`;
      const option = this.#options.get(name);
      const rest = word.slice(index + 1);
      if (option === undefined) {
        this.#take(name, undefined, index === 1 ? word : name, undefined);
        return 0;
      }
      if (rest.startsWith("=")) return this.#take(name, rest.slice(1), word, next);
      if (option.required) return this.#take(name, rest === "" ? undefined : rest, word, next);
      this.#take(name, undefined, name, undefined);
    }
    return 0;
  }

  #take(name: string, value: string | undefined, word: string, next: string | undefined): number {
    const option = this.#options.get(name);
    const negated = option === undefined ? this.#options.get(name.replace(/^--/, "--no-")) : undefined;
    if (negated?.negate === true) {
      // docker's `--human=false`, where kiln has the flag `--no-human`.
      this.#switches.set(negated.long ?? name, value !== undefined && !booleanOf(name, value));
      return 0;
    }
    if (option === undefined) {
      this.#unknown(this.#command.name(), name);
      this.#flags.push(word);
      return 0;
    }
    const long = option.long ?? name;
    if (option.required) {
      const given = value ?? next;
      if (given === undefined) this.#last = name;
      else this.#value(long, given);
      return value === undefined ? 1 : 0;
    }
    if (option.optional) return this.#optional(long, value, next);
    this.#switch(long, name, value);
    return 0;
  }

  #optional(long: string, value: string | undefined, next: string | undefined): number {
    const isNext = value === undefined && next !== undefined && OPTIONAL_VALUES[long]?.includes(next) === true;
    this.#flags.push(`${long}=${value ?? (isNext ? next : "")}`);
    return isNext ? 1 : 0;
  }

  #value(long: string, value: string): void {
    if (value === "") {
      const meaning = emptyValue(this.#command.name(), long);
      if (meaning === "absent") return;
      checkEmpty(meaning, long);
    }
    (long === "--root" ? this.#globals : this.#flags).push(`${long}=${value}`);
  }

  #switch(long: string, name: string, value: string | undefined): void {
    if (long === "--pull" && value !== undefined && PULL_WORDS.includes(value)) {
      this.#switches.delete(long);
      this.#flags.push(`--pull-policy=${value}`);
      return;
    }
    this.#switches.set(long, value === undefined || booleanOf(name, value));
  }
}

function isOperand(word: string): boolean {
  return word === "-" || !word.startsWith("-");
}

/** Parses Go's words for a boolean. */
function booleanOf(flag: string, value: string): boolean {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(value)) return false;
  throw new BuildError("cli/usage", `Cannot use ${flag}=${value}: it is neither true nor false`);
}

function emptyArgument(command: string): BuildError {
  if (command === "build") {
    return new BuildError("cli/usage", 'please specify build context (e.g. "." for the current directory)', {
      hint: "the argument is empty: is a variable of your script not set?",
    });
  }
  return new BuildError("cli/usage", `Cannot run kiln ${command}: an argument is empty`, {
    hint: "is a variable of your script not set?",
  });
}
