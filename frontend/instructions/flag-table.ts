import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";
import { didYouMean } from "../../lib/core/suggest.ts";
import type { FlagLexeme } from "../syntax/ast.ts";
import { toWord, type InstructionContext } from "./context.ts";
import type { Word } from "./instruction.ts";

/** `list` may be repeated. `boolean` is `--link`, `--link=true` or `--link=false`. */
type FlagType = "boolean" | "text" | "list";

type FlagTable = Readonly<Record<string, FlagType>>;

/** The flags that each instruction takes. HEALTHCHECK NONE and ARG accept and ignore all flags. */
export const FLAGS = {
  add: {
    chown: "text",
    chmod: "text",
    link: "boolean",
    "keep-git-dir": "boolean",
    checksum: "text",
    unpack: "boolean",
    exclude: "list",
  },
  copy: { chown: "text", chmod: "text", from: "text", link: "boolean", parents: "boolean", exclude: "list" },
  from: { platform: "text" },
  healthcheck: { interval: "text", timeout: "text", "start-period": "text", "start-interval": "text", retries: "text" },
  none: {},
  run: { mount: "list", device: "list", network: "text", security: "text" },
} as const satisfies Record<string, FlagTable>;

type NamesOf<T extends FlagTable, Type extends FlagType> = {
  [Name in keyof T]: T[Name] extends Type ? Name : never;
}[keyof T] &
  string;

/** The flags of one instruction, checked against its table. */
export class FlagValues<T extends FlagTable> {
  readonly #used: ReadonlyMap<string, readonly UsedFlag[]>;

  constructor(used: ReadonlyMap<string, readonly UsedFlag[]>) {
    this.#used = used;
  }

  /** Returns the value as written; `undefined` without the flag. */
  text(name: NamesOf<T, "text">): Word | undefined {
    return this.#used.get(name)?.[0]?.value;
  }

  /** Lists the values in the order written. */
  list(name: NamesOf<T, "list">): readonly Word[] {
    return (this.#used.get(name) ?? NOTHING).map((flag) => flag.value);
  }

  /** Lists the same values as {@link list}, with spans that include the flag's name. */
  flags(name: NamesOf<T, "list">): readonly Word[] {
    return (this.#used.get(name) ?? NOTHING).map((flag) => ({ text: flag.value.text, span: flag.span }));
  }

  boolean(name: NamesOf<T, "boolean">): boolean | undefined {
    const flag = this.#used.get(name)?.[0];
    return flag && flag.value.text.toLowerCase() !== "false";
  }
}

interface UsedFlag {
  /** Empty for a boolean flag without a value. */
  readonly value: Word;
  /** Place of the whole flag. */
  readonly span: Span;
}

const NOTHING: readonly UsedFlag[] = [];
const NO_FLAGS: ReadonlyMap<string, readonly UsedFlag[]> = new Map();

/**
 * Reads the flags of an instruction.
 * @throws {BuildError} `dockerfile/unknown-flag`, or `dockerfile/syntax` for a repeated flag or a bad value
 */
export function readFlagTable<T extends FlagTable>(context: InstructionContext, table: T): FlagValues<T> {
  const { line, node } = context;
  if (node.flags.length === 0) return new FlagValues(NO_FLAGS);
  const used = new Map<string, UsedFlag[]>();
  for (const flag of node.flags) {
    checkFlag(context, table, flag, used.has(flag.name));
    const span = line.span(flag.start, flag.end);
    const entry = { span, value: flag.value === undefined ? { text: "", span } : toWord(line, flag.value) };
    const before = used.get(flag.name);
    if (before === undefined) used.set(flag.name, [entry]);
    else before.push(entry);
  }
  return new FlagValues(used);
}

function checkFlag(context: InstructionContext, table: FlagTable, flag: FlagLexeme, isRepeated: boolean): void {
  const { name, value } = flag;
  const span = context.line.span(flag.start, flag.end);
  const type = Object.hasOwn(table, name) ? table[name] : undefined;
  if (type === undefined) {
    const names = Object.keys(table);
    throw new BuildError("dockerfile/unknown-flag", `unknown flag: --${name}${didYouMean(name, names)}`, {
      span,
      hint: unknownFlagHint(context.node.name, names),
    });
  }
  const fail = (message: string, hint: string): never => {
    throw new BuildError("dockerfile/syntax", message, { span, hint });
  };
  if (isRepeated && type !== "list") fail(`duplicate flag specified: --${name}`, "keep one of the two");
  if (type !== "boolean") {
    if (value === undefined) fail(`missing a value on flag: --${name}`, `write --${name}=<value>, without blanks`);
    return;
  }
  if (value?.text === "") fail(`missing a value on flag: --${name}`, `write --${name} or --${name}=false`);
  const written = value?.text ?? "true";
  if (!/^(?:true|false)$/i.test(written))
    fail(`expecting boolean value for flag --${name}, not: ${written}`, `write --${name}=true or --${name}=false`);
}

function unknownFlagHint(keyword: string, names: readonly string[]): string {
  if (names.length === 0) return `${keyword} has no flags; write -- before an argument that begins with dashes`;
  return `${keyword} knows ${names.map((name) => `--${name}`).join(", ")}; write -- before an argument that begins with dashes`;
}
