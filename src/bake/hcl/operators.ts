import type { BinaryExpression, Place, UnaryExpression } from "./ast.ts";
import { valueFailure } from "./failure.ts";
import { isEqual, isList, isMap, toBool, toNumber, toText, typeName, type Value } from "./value.ts";

/** Applies `-` or `!`. */
export function applyUnary({ operator, value: operand }: UnaryExpression, value: Value): Value {
  return operator === "!" ? !boolOf(value, operand.place, "The operand of !") : -numberOf(value, operand.place, "-");
}

/**
 * Applies an operator. Both sides have been evaluated: `&&` and `||` look at both, as the language says.
 * @throws {BuildError} `bake/expression`
 */
export function applyBinary({ operator, left, right, place }: BinaryExpression, a: Value, b: Value): Value {
  switch (operator) {
    case "==":
      return isEqual(a, b);
    case "!=":
      return !isEqual(a, b);
    case "&&":
    case "||": {
      const sides = [
        boolOf(a, left.place, `The left side of ${operator}`),
        boolOf(b, right.place, `The right side of ${operator}`),
      ];
      return operator === "&&" ? sides.every(Boolean) : sides.some(Boolean);
    }
    default:
      return arithmetic(operator, [numberOf(a, left.place, operator), numberOf(b, right.place, operator)], place);
  }
}

function arithmetic(
  operator: Exclude<BinaryExpression["operator"], "==" | "!=" | "&&" | "||">,
  [a, b]: readonly [number, number],
  place: Place,
): Value {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      if (b === 0) throw valueFailure("Cannot divide by zero", place);
      return a / b;
    case "%":
      if (b === 0) throw valueFailure("Cannot divide by zero", place);
      return a % b;
    case "<":
      return a < b;
    case "<=":
      return a <= b;
    case ">":
      return a > b;
    case ">=":
      return a >= b;
    default:
      return operator satisfies never;
  }
}

function numberOf(value: Value, place: Place, operator: string): number {
  const number = toNumber(value);
  if (number === undefined)
    throw valueFailure(`Cannot use ${operator} on a ${typeName(value)}: it takes numbers`, place);
  return number;
}

/** Returns a bool, or the error that names what it is. */
export function boolOf(value: Value, place: Place, what: string): boolean {
  const bool = toBool(value);
  if (bool === undefined) throw valueFailure(`${what} is true or false, not a ${typeName(value)}`, place);
  return bool;
}

/** Converts values to one type where the language does: a number or bool beside a text becomes a text. */
export function unify(values: readonly Value[]): readonly Value[] {
  const kinds = new Set(values.filter((value) => value !== null).map((value) => typeName(value)));
  if (kinds.size < 2 || values.some((value) => isList(value) || isMap(value))) return values;
  return values.map((value) => (value === null ? null : (toText(value) ?? value)));
}
