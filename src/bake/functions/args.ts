import { BuildError } from "../../../lib/core/errors.ts";
import { isList, isMap, toBool, toNumber, toText, typeName, type Value, type ValueMap } from "../hcl/value.ts";

/** A function of the library. */
export interface NativeFunction {
  readonly least: number;
  readonly most: number;
  readonly run: (args: Args, host: FunctionHost) => Value;
}

/** Clock, chance and home, for the functions that ask for them. */
export interface FunctionHost {
  readonly homeDirectory: string;
  readonly nowMs: () => number;
  readonly uuid: () => string;
}

/** Declares a function with a number of arguments. */
export function define(least: number, most: number, run: NativeFunction["run"]): NativeFunction {
  return { least, most, run };
}

/** Makes the error of a call; the caller adds its place. */
export function callFailure(message: string): BuildError {
  return new BuildError("bake/expression", message);
}

/** The arguments of a call, converted as the function asks for them. */
export class Args {
  readonly values: readonly Value[];

  constructor(values: readonly Value[]) {
    this.values = values;
  }

  get count(): number {
    return this.values.length;
  }

  any(index: number): Value {
    return this.values[index] ?? null;
  }

  text(index: number): string {
    return toText(this.any(index)) ?? this.#refuse(index, "a text");
  }

  number(index: number): number {
    return toNumber(this.any(index)) ?? this.#refuse(index, "a number");
  }

  whole(index: number): number {
    const number = this.number(index);
    return Number.isInteger(number) ? number : this.#refuse(index, "a whole number");
  }

  bool(index: number): boolean {
    return toBool(this.any(index)) ?? this.#refuse(index, "a bool");
  }

  list(index: number): readonly Value[] {
    const value = this.any(index);
    return isList(value) ? value : this.#refuse(index, "a list");
  }

  texts(index: number): readonly string[] {
    return this.list(index).map((item) => toText(item) ?? this.#refuse(index, "a list of texts"));
  }

  map(index: number): ValueMap {
    const value = this.any(index);
    return isMap(value) ? value : this.#refuse(index, "an object");
  }

  /** All arguments as numbers. */
  numbers(): readonly number[] {
    return this.values.map((_, index) => this.number(index));
  }

  #refuse(index: number, wanted: string): never {
    throw callFailure(`argument ${index + 1} is ${wanted}, not a ${typeName(this.any(index))}`);
  }
}
