import type { Variables } from "../words/expand.ts";

/**
 * The variables of a stage while it is converted: ENV and ARG in one namespace, the later one winning. Lists are made once
 * per change, so that a thousand RUNs after one ENV share one list.
 */
export class Environment implements Variables {
  readonly #values: Map<string, string>;
  /** The same as `NAME=value`: lists share these texts, or thousands of lists of thousands of variables fill the memory. */
  readonly #entries: Map<string, string>;
  /** Names whose present value comes from ARG. */
  readonly #fromArg: Set<string>;
  /** ARGs declared in this stage and the stages below it, in order of first declaration; `undefined` without a value. */
  readonly #declared: Map<string, string | undefined>;
  #list: readonly string[] | undefined;
  #argNames: readonly string[] | undefined;
  #argSummary: string | undefined;

  constructor(from?: Environment) {
    this.#values = new Map(from === undefined ? [] : from.#values);
    this.#entries = new Map(from === undefined ? [] : from.#entries);
    this.#fromArg = new Set(from === undefined ? [] : from.#fromArg);
    this.#declared = new Map(from === undefined ? [] : from.#declared);
  }

  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  names(): Iterable<string> {
    return this.#values.keys();
  }

  isDeclared(name: string): boolean {
    return this.#declared.has(name);
  }

  setEnv(name: string, value: string): void {
    this.#changed();
    this.#set(name, value);
    this.#fromArg.delete(name);
  }

  /** `reach: "text"` declares without putting a value into the environment of commands. */
  declareArg(name: string, value: string | undefined, reach: "commands" | "text" = "commands"): void {
    this.#changed();
    this.#declared.set(name, value);
    if (value === undefined || reach === "text") return;
    this.#set(name, value);
    this.#fromArg.add(name);
  }

  /** `NAME=value`, in order of first definition. */
  list(): readonly string[] {
    this.#list ??= [...this.#entries.values()];
    return this.#list;
  }

  /** Names whose value in `list` comes from ARG. */
  argNames(): readonly string[] {
    this.#argNames ??= [...this.#fromArg];
    return this.#argNames;
  }

  /** What a RUN's history entry starts with: `|2 A=1 B=`, or nothing without ARGs. ENV's value is shown where it won. */
  argSummary(): string {
    this.#argSummary ??=
      this.#declared.size === 0
        ? ""
        : [
            `|${this.#declared.size}`,
            ...Array.from(this.#declared, ([name, value]) => `${name}=${this.#values.get(name) ?? value ?? ""}`),
            "",
          ].join(" ");
    return this.#argSummary;
  }

  #set(name: string, value: string): void {
    this.#values.set(name, value);
    this.#entries.set(name, `${name}=${value}`);
  }

  #changed(): void {
    this.#list = undefined;
    this.#argNames = undefined;
    this.#argSummary = undefined;
  }
}
