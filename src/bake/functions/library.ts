import { BuildError } from "../../../lib/core/errors.ts";
import type { CallExpression } from "../hcl/ast.ts";
import { evaluate, type Scope } from "../hcl/evaluate.ts";
import { valueFailure } from "../hcl/failure.ts";
import { isList, type Value } from "../hcl/value.ts";
import { convertValue, parseType } from "../hcl/types.ts";
import { ADDRESS_FUNCTIONS } from "./addresses.ts";
import { Args, type FunctionHost, type NativeFunction } from "./args.ts";
import { COLLECTION_FUNCTIONS } from "./collections.ts";
import { ENCODING_FUNCTIONS } from "./encodings.ts";
import { NUMBER_FUNCTIONS } from "./numbers.ts";
import { TEXT_FUNCTIONS } from "./texts.ts";
import { TIME_FUNCTIONS } from "./times.ts";

const LIBRARY: ReadonlyMap<string, NativeFunction> = new Map(
  [
    NUMBER_FUNCTIONS,
    TEXT_FUNCTIONS,
    COLLECTION_FUNCTIONS,
    ENCODING_FUNCTIONS,
    TIME_FUNCTIONS,
    ADDRESS_FUNCTIONS,
  ].flatMap((group) => Object.entries(group)),
);

/** Functions that look at expressions instead of values. */
const FORMS: ReadonlyMap<string, (call: CallExpression, scope: Scope) => Value> = new Map([
  ["can", (call, scope) => succeeds(call, scope)],
  ["try", (call, scope) => firstValue(call, scope)],
  ["convert", (call, scope) => converted(call, scope)],
]);

/** Names of all functions that files may call. */
export const FUNCTION_NAMES: readonly string[] = [...LIBRARY.keys(), ...FORMS.keys()];

/**
 * Calls a function of the library; `undefined` when there is none of that name.
 * @throws {BuildError} `bake/expression` at the call
 */
export function callLibrary(call: CallExpression, scope: Scope, host: FunctionHost): Value | undefined {
  const form = FORMS.get(call.name.text);
  if (form !== undefined) return form(call, scope);
  const native = LIBRARY.get(call.name.text);
  if (native === undefined) return undefined;
  const values = argumentsOf(call, scope);
  checkCount(call, values.length, native);
  try {
    return native.run(new Args(values), host);
  } catch (error) {
    if (!(error instanceof BuildError) || error.span !== undefined) throw error;
    throw valueFailure(`Cannot call ${call.name.text}(): ${error.message}`, call.place);
  }
}

/** Evaluates the arguments; `f(list...)` has as many as the list. */
export function argumentsOf(call: CallExpression, scope: Scope): Value[] {
  const { args, expandsLast } = call;
  const values = args.map((arg) => evaluate(arg, scope));
  const last = values.at(-1);
  if (!expandsLast || last === undefined) return values;
  if (isList(last)) return [...values.slice(0, -1), ...last];
  throw valueFailure("Cannot expand the last argument: it is no list", call.place);
}

/** Checks the number of arguments. */
export function checkCount(
  call: CallExpression,
  count: number,
  { least, most }: Pick<NativeFunction, "least" | "most">,
): void {
  if (count >= least && count <= most) return;
  const wanted =
    least === most ? String(least) : most === Number.POSITIVE_INFINITY ? `at least ${least}` : `${least} to ${most}`;
  throw valueFailure(`Cannot call ${call.name.text}() with ${count} arguments: it takes ${wanted}`, call.place);
}

function succeeds(call: CallExpression, scope: Scope): boolean {
  checkCount(call, call.args.length, { least: 1, most: 1 });
  return attempts(call, scope).some((one) => one !== undefined);
}

function firstValue(call: CallExpression, scope: Scope): Value {
  const found = attempts(call, scope).find((one) => one !== undefined);
  if (found === undefined) throw valueFailure("Cannot call try(): none of its expressions has a value", call.place);
  return found;
}

/** Evaluates each argument, without those that fail. */
function attempts(call: CallExpression, scope: Scope): (Value | undefined)[] {
  return call.args.map((arg) => {
    try {
      return evaluate(arg, scope);
    } catch (error) {
      if (error instanceof BuildError && error.code === "bake/expression") return undefined;
      throw error;
    }
  });
}

function converted(call: CallExpression, scope: Scope): Value {
  const [value, type] = call.args;
  if (value === undefined || type === undefined || call.args.length !== 2) {
    throw valueFailure("Cannot call convert(): it takes a value and a type", call.place);
  }
  return convertValue(evaluate(value, scope), parseType(type), value.place);
}
