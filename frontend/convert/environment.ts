import { GROUP_SIZE, type VariableGroups } from "../../solver/graph/op.ts";
import type { Variables } from "../words/expander.ts";

/**
 * The variables of a stage while it is converted: ENV and ARG in one namespace, the later one winning. Commands get groups
 * of `NAME=value` texts: one variable that changes makes one new group, and all commands have the others in common.
 */
export class Environment implements Variables {
  readonly #variables: Map<string, Variable>;
  /** In order of first definition. No group is changed once it is in here, and no array of groups once it was given out. */
  #groups: (readonly string[])[];
  #isGivenOut: boolean;
  /** Names whose present value comes from ARG. */
  readonly #fromArg: Set<string>;
  /** Where the ARGs declared in this stage and the stages below it stand in `#argTexts`. */
  readonly #declared: Map<string, number>;
  /** `NAME=value`, in order of first declaration. */
  readonly #argTexts: string[];
  #argNames: readonly string[] | undefined;
  #argSummary: string | undefined;

  constructor(from?: Environment) {
    this.#variables = new Map(from === undefined ? [] : from.#variables);
    this.#groups = from === undefined ? [] : from.#groups.slice();
    this.#isGivenOut = false;
    this.#fromArg = new Set(from === undefined ? [] : from.#fromArg);
    this.#declared = new Map(from === undefined ? [] : from.#declared);
    this.#argTexts = from === undefined ? [] : from.#argTexts.slice();
  }

  get(name: string): string | undefined {
    return this.#variables.get(name)?.value;
  }

  names(): Iterable<string> {
    return this.#variables.keys();
  }

  isDeclared(name: string): boolean {
    return this.#declared.has(name);
  }

  setEnv(name: string, value: string): void {
    this.#set(name, value);
    if (this.#fromArg.delete(name)) this.#argNames = undefined;
  }

  /** `reach: "text"` declares without putting a value into the environment of commands. */
  declareArg(name: string, value: string | undefined, reach: "commands" | "text" = "commands"): void {
    this.#argNames = undefined;
    if (!this.#declared.has(name)) this.#declared.set(name, this.#declared.size);
    if (value !== undefined && reach === "commands") {
      this.#set(name, value);
      this.#fromArg.add(name);
    }
    this.#describeArg(name, this.get(name) ?? value ?? "");
  }

  /** An ARG that covers an ENV does so in its own stage only: for the next one. `entries` are the image's, by name. */
  uncover(entries: ReadonlyMap<string, string>): void {
    for (const name of this.argNames()) {
      const entry = entries.get(name);
      if (entry !== undefined) this.setEnv(name, entry.slice(name.length + 1));
    }
  }

  /** In order of first definition. */
  groups(): VariableGroups {
    this.#isGivenOut = true;
    return this.#groups;
  }

  /** Names whose value in `groups` comes from ARG. */
  argNames(): readonly string[] {
    this.#argNames ??= [...this.#fromArg];
    return this.#argNames;
  }

  /** What a RUN's history entry starts with: `|2 A=1 B=`, or nothing without ARGs. ENV's value is shown where it won. */
  argSummary(): string {
    const texts = this.#argTexts;
    this.#argSummary ??= texts.length === 0 ? "" : `|${texts.length} ${texts.join(" ")} `;
    return this.#argSummary;
  }

  #describeArg(name: string, value: string): void {
    const index = this.#declared.get(name);
    if (index === undefined) return;
    this.#argTexts[index] = `${name}=${value}`;
    this.#argSummary = undefined;
  }

  #set(name: string, value: string): void {
    const before = this.#variables.get(name);
    if (before?.value === value) return;
    this.#describeArg(name, value);
    const place = before?.place ?? this.#variables.size;
    this.#variables.set(name, { place, value });
    if (this.#isGivenOut) this.#groups = this.#groups.slice();
    this.#isGivenOut = false;
    const index = Math.floor(place / GROUP_SIZE);
    const group = this.#groups[index]?.slice() ?? [];
    group[place % GROUP_SIZE] = `${name}=${value}`;
    this.#groups[index] = group;
  }
}

interface Variable {
  /** Counts from 0, through all groups. */
  readonly place: number;
  readonly value: string;
}
