import { GROUP_SIZE, type VariableGroups } from "../../solver/graph/op.ts";
import type { Variables } from "../words/expander.ts";

/**
 * The variables of a stage during its conversion: ENV and ARG share one namespace, and the later one wins. Commands get
 * groups of `NAME=value` texts. A changed variable makes one new group; commands share all other groups.
 */
export class Environment implements Variables {
  readonly #variables: Map<string, Variable>;
  /**
   * Groups in order of first definition. A group never changes once it is in here, nor does an array that was handed
   * out.
   */
  #groups: (readonly string[])[];
  #isGivenOut: boolean;
  /** Names with a present value from ARG. */
  readonly #fromArg: Set<string>;
  /** Positions in `#argTexts` of the ARGs that this stage and the stages below it declare. */
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

  /** Declares an ARG. `reach: "text"` keeps the value out of the environment of commands. */
  declareArg(name: string, value: string | undefined, reach: "commands" | "text" = "commands"): void {
    this.#argNames = undefined;
    if (!this.#declared.has(name)) this.#declared.set(name, this.#declared.size);
    if (value !== undefined && reach === "commands") {
      this.#set(name, value);
      this.#fromArg.add(name);
    }
    this.#describeArg(name, this.get(name) ?? value ?? "");
  }

  /**
   * Restores the image's ENV entries that ARGs hid: an ARG hides an ENV only within its own stage. `entries` are the
   * image's, by name.
   */
  uncover(entries: ReadonlyMap<string, string>): void {
    for (const name of this.argNames()) {
      const entry = entries.get(name);
      if (entry !== undefined) this.setEnv(name, entry.slice(name.length + 1));
    }
  }

  /** Lists the groups in order of first definition. */
  groups(): VariableGroups {
    this.#isGivenOut = true;
    return this.#groups;
  }

  /** Lists names with a value in `groups` that comes from ARG. */
  argNames(): readonly string[] {
    this.#argNames ??= [...this.#fromArg];
    return this.#argNames;
  }

  /**
   * Writes the prefix of a RUN's history entry, `|2 A=1 B=`; empty without ARGs. Where ENV won, ENV's value is shown.
   */
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
  /** Position across all groups, from 0. */
  readonly place: number;
  readonly value: string;
}
