import { isEqual, isList, isMap, toText, type Value } from "../hcl/value.ts";
import { callFailure, define, type NativeFunction } from "./args.ts";

const ANY = Number.POSITIVE_INFINITY;

const arithmetic = (run: (a: number, b: number) => Value): NativeFunction =>
  define(2, 2, (args) => run(args.number(0), args.number(1)));
const ofOne = (run: (a: number) => number): NativeFunction => define(1, 1, (args) => run(args.number(0)));

function nonZero(value: number): number {
  if (value === 0) throw callFailure("it cannot divide by zero");
  return value;
}

/** Functions of numbers and bools. */
export const NUMBER_FUNCTIONS: Readonly<Record<string, NativeFunction>> = {
  absolute: ofOne(Math.abs),
  ceil: ofOne(Math.ceil),
  floor: ofOne(Math.floor),
  int: ofOne(Math.trunc),
  negate: ofOne((a) => -a),
  signum: ofOne(Math.sign),
  add: arithmetic((a, b) => a + b),
  subtract: arithmetic((a, b) => a - b),
  multiply: arithmetic((a, b) => a * b),
  divide: arithmetic((a, b) => a / nonZero(b)),
  modulo: arithmetic((a, b) => a % nonZero(b)),
  pow: arithmetic((a, b) => a ** b),
  log: arithmetic((a, b) => Math.log(a) / Math.log(b)),
  greaterthan: arithmetic((a, b) => a > b),
  greaterthanorequalto: arithmetic((a, b) => a >= b),
  lessthan: arithmetic((a, b) => a < b),
  lessthanorequalto: arithmetic((a, b) => a <= b),
  max: define(1, ANY, (args) => Math.max(...args.numbers())),
  min: define(1, ANY, (args) => Math.min(...args.numbers())),
  parseint: define(2, 2, (args) => parseInteger(args.text(0), args.whole(1))),
  and: define(2, 2, (args) => args.bool(0) && args.bool(1)),
  or: define(2, 2, (args) => args.bool(0) || args.bool(1)),
  not: define(1, 1, (args) => !args.bool(0)),
  equal: define(2, 2, (args) => isEqual(args.any(0), args.any(1))),
  notequal: define(2, 2, (args) => !isEqual(args.any(0), args.any(1))),
  range: define(1, 3, (args) => range(args.numbers())),
  hasindex: define(2, 2, (args) => {
    const [value, key] = [args.any(0), args.any(1)];
    if (isMap(value)) return value.has(toText(key) ?? "");
    return isList(value) && typeof key === "number" && Number.isInteger(key) && key >= 0 && key < value.length;
  }),
};

function parseInteger(text: string, base: number): number {
  if (base < 2 || base > 36) throw callFailure(`base ${base} is not from 2 to 36`);
  const digits = "0123456789abcdefghijklmnopqrstuvwxyz".slice(0, base);
  const [, sign = "", number = ""] = /^([+-]?)([0-9a-z]+)$/i.exec(text) ?? [];
  if (number === "" || Array.from(number.toLowerCase()).some((digit) => !digits.includes(digit))) {
    throw callFailure(`${JSON.stringify(text)} is no number of base ${base}`);
  }
  return Number.parseInt(`${sign}${number}`, base);
}

/** `range(end)`, `range(start, end)`, `range(start, end, step)`. */
function range(numbers: readonly number[]): number[] {
  const [start = 0, end = 0] = numbers.length === 1 ? [0, numbers[0] ?? 0] : numbers;
  const step = numbers[2] ?? (end < start ? -1 : 1);
  if (step === 0) throw callFailure("the step is not 0");
  if (step > 0 ? end < start : end > start) throw callFailure("the step leads away from the end");
  const items: number[] = [];
  for (let value = start; step > 0 ? value < end : value > end; value += step) {
    if (items.length >= 1024) throw callFailure("more than 1024 values");
    items.push(value);
  }
  return items;
}
