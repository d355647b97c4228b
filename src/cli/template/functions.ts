import { goText, printAll, printLine } from "./go-text.ts";
import { printf } from "./printf.ts";
import { type Value, isList, isMap, isStruct, isTrue, memberOf, toJson, typeName } from "./value.ts";

/** An error in a function's arguments. The evaluator adds the place. */
export class ArgumentError extends Error {
  override readonly name = "ArgumentError";
}

export type TemplateFunction = (args: readonly Value[]) => Value;

/**
 * Functions of Go's text/template, and those that docker's commands add. The evaluator implements `and` and `or`, which
 * stop early.
 */
export const FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map<string, TemplateFunction>([
  ["not", (args) => !isTrue(one(args))],
  ["len", (args) => length(one(args))],
  ["index", ([container, ...keys]) => keys.reduce(at, container)],
  ["slice", slice],
  ["print", printAll],
  ["println", printLine],
  ["printf", ([format, ...values]) => printf(text(format), values)],
  ["html", (args) => escapeHtml(printAll(args))],
  ["js", (args) => escapeJs(printAll(args))],
  ["urlquery", (args) => encodeURIComponent(printAll(args)).replaceAll("%20", "+")],
  ["eq", ([first, ...others]) => needed(others).some((other) => isEqual(first, other))],
  ["ne", (args) => !isEqual(...two(args))],
  ["lt", (args) => compare(...two(args)) < 0],
  ["le", (args) => compare(...two(args)) <= 0],
  ["gt", (args) => compare(...two(args)) > 0],
  ["ge", (args) => compare(...two(args)) >= 0],
  ["json", (args) => toJson(one(args))],
  ["split", (args) => text(args[0]).split(text(two(args)[1]))],
  [
    "join",
    (args) =>
      list(args[0])
        .map(text)
        .join(text(two(args)[1])),
  ],
  ["title", (args) => text(one(args)).replaceAll(/(?<![\p{L}\p{Nd}_])\p{L}/gu, (letter) => letter.toUpperCase())],
  ["lower", (args) => text(one(args)).toLowerCase()],
  ["upper", (args) => text(one(args)).toUpperCase()],
  ["pad", ([value, before, after]) => pad(text(value), count(before), count(after))],
  ["truncate", (args) => text(args[0]).slice(0, count(two(args)[1]))],
]);

function one(args: readonly Value[]): Value {
  if (args.length !== 1) throw new ArgumentError(`it wants 1 argument and got ${args.length}`);
  return args[0];
}

function two(args: readonly Value[]): readonly [Value, Value] {
  if (args.length !== 2) throw new ArgumentError(`it wants 2 arguments and got ${args.length}`);
  return [args[0], args[1]];
}

function needed(args: readonly Value[]): readonly Value[] {
  if (args.length === 0) throw new ArgumentError("it wants at least 2 arguments");
  return args;
}

function text(value: Value): string {
  if (typeof value === "string") return value;
  throw new ArgumentError(`it wants a string and got ${typeName(value)}`);
}

function list(value: Value): readonly Value[] {
  if (isList(value)) return value;
  throw new ArgumentError(`it wants a list and got ${typeName(value)}`);
}

function count(value: Value): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 1_000_000) return value;
  throw new ArgumentError(`it wants a count and got ${goText(value)}`);
}

function length(value: Value): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (isList(value)) return value.length;
  if (isMap(value)) return value.size;
  throw new ArgumentError(`${typeName(value)} has no length`);
}

/** Looks up one step of `index`: a list by number, a map by key. A missing key is an empty text in a map of texts. */
function at(container: Value, key: Value): Value {
  if (isMap(container)) return container.has(text(key)) ? container.get(text(key)) : emptyOf(container);
  if (isStruct(container)) return memberOf(container, text(key))?.value;
  if (!isList(container) && typeof container !== "string") {
    throw new ArgumentError(`${typeName(container)} cannot be indexed`);
  }
  if (typeof key !== "number") throw new ArgumentError(`${typeName(key)} is not a position in a list`);
  const items = isList(container) ? container : Buffer.from(container);
  if (key < 0 || key >= items.length) throw new ArgumentError(`index out of range: ${key}`);
  return items[key];
}

function emptyOf(map: ReadonlyMap<string, Value>): Value {
  const values = [...map.values()];
  return values.every((value) => typeof value === "string") ? "" : undefined;
}

function slice([container, from = 0, to]: readonly Value[]): Value {
  if (!isList(container) && typeof container !== "string") {
    throw new ArgumentError(`${typeName(container)} cannot be sliced`);
  }
  const start = count(from);
  const end = to === undefined ? container.length : count(to);
  if (end > container.length || start > end) throw new ArgumentError(`index out of range: ${Math.max(start, end)}`);
  return container.slice(start, end);
}

function isEqual(a: Value, b: Value): boolean {
  if (a === undefined || a === null || b === undefined || b === null) return (a ?? null) === (b ?? null);
  basic(a, b);
  return a === b;
}

function compare(a: Value, b: Value): number {
  const kind = basic(a, b);
  if (kind === "boolean") throw new ArgumentError("booleans have no order");
  if (typeof a === "number" && typeof b === "number") return a - b;
  return Buffer.compare(Buffer.from(text(a)), Buffer.from(text(b)));
}

function basic(a: Value, b: Value): string {
  const kinds = [a, b].map((value) => typeof value);
  if (kinds[0] !== kinds[1] || kinds[0] === "object") {
    throw new ArgumentError(`${typeName(a)} and ${typeName(b)} cannot be compared`);
  }
  return kinds[0] ?? "";
}

function pad(value: string, before: number, after: number): string {
  return value === "" ? value : " ".repeat(before) + value + " ".repeat(after);
}

function escapeHtml(value: string): string {
  const names: Readonly<Record<string, string>> = {
    '"': "&#34;",
    "'": "&#39;",
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
  };
  return value.replaceAll(/["'&<>]/g, (letter) => names[letter] ?? letter);
}

function escapeJs(value: string): string {
  return value
    .replaceAll(/[\\'"]/g, String.raw`\$&`)
    .replaceAll(
      /\p{Cc}|[<>&=]/gu,
      (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0").toUpperCase()}`,
    );
}
