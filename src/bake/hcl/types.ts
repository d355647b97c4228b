import { unreachable } from "../../../lib/core/errors.ts";
import type { Expression, Place } from "./ast.ts";
import { valueFailure } from "./failure.ts";
import { isEqual, isList, isMap, mapOf, toBool, toNumber, toText, typeName, type Value } from "./value.ts";

/** A type that a variable may declare. */
export type Type =
  | { readonly kind: "any" | "string" | "number" | "bool" }
  | { readonly kind: "list" | "set" | "map"; readonly of: Type }
  | { readonly kind: "tuple"; readonly items: readonly Type[] }
  | {
      readonly kind: "object";
      readonly members: ReadonlyMap<string, { readonly type: Type; readonly optional: boolean }>;
    };

/**
 * Reads a type's expression: `string`, `list(number)`, `object({ name = string })`.
 * @throws {BuildError} `bake/expression`
 */
export function parseType(expression: Expression): Type {
  if (expression.kind === "variable") {
    const { name } = expression;
    if (name === "any" || name === "string" || name === "number" || name === "bool") return { kind: name };
  }
  // JSON has types as texts.
  if (expression.kind === "template" && expression.parts.length === 1) {
    const [part] = expression.parts;
    if (part?.kind === "value") return parseType(part.value);
    if (part?.kind === "text") return parseType({ kind: "variable", name: part.text, place: expression.place });
  }
  if (expression.kind !== "call") throw unknownType(expression.place);
  const [argument] = expression.args;
  if (argument === undefined || expression.args.length !== 1) throw unknownType(expression.place);
  const kind = expression.name.text;
  switch (kind) {
    case "list":
    case "set":
    case "map":
      return { kind, of: parseType(argument) };
    case "tuple":
      if (argument.kind !== "list") throw unknownType(expression.place);
      return { kind, items: argument.items.map(parseType) };
    case "object":
      return objectType(argument);
    default:
      throw unknownType(expression.place);
  }
}

function objectType(argument: Expression): Type {
  if (argument.kind !== "object") throw unknownType(argument.place);
  const members = argument.items.map(({ key, value }) => {
    const name = key.kind === "variable" ? key.name : key.kind === "template" ? templateName(key) : undefined;
    if (name === undefined) throw unknownType(key.place);
    const isOptional = value.kind === "call" && value.name.text === "optional" && value.args[0] !== undefined;
    const type = isOptional && value.args[0] !== undefined ? parseType(value.args[0]) : parseType(value);
    return [name, { type, optional: isOptional }] as const;
  });
  return { kind: "object", members: new Map(members) };
}

function templateName(key: Expression & { readonly kind: "template" }): string {
  return key.parts.map((part) => (part.kind === "text" ? part.text : "")).join("");
}

function unknownType(place: Place): Error {
  return valueFailure(
    "Cannot read a type",
    place,
    "types are any, string, number, bool, list(T), set(T), map(T), tuple([T, ...]) and object({ name = T })",
  );
}

/** Writes a type as bake's list of variables does. */
export function typeText(type: Type): string {
  switch (type.kind) {
    case "any":
    case "string":
    case "number":
    case "bool":
      return type.kind === "any" ? "dynamic" : type.kind;
    case "list":
    case "set":
    case "map":
      return `${type.kind} of ${typeText(type.of)}`;
    case "tuple":
    case "object":
      return type.kind;
    default:
      return unreachable(type);
  }
}

/**
 * Converts a value to a type.
 * @throws {BuildError} `bake/expression` at the place of the value
 */
export function convertValue(value: Value, type: Type, place: Place): Value {
  const converted = convert(value, type);
  if (converted !== undefined) return converted;
  throw valueFailure(`Cannot convert a ${typeName(value)} to ${typeText(type)}`, place);
}

function convert(value: Value, type: Type): Value | undefined {
  if (value === null) return null;
  switch (type.kind) {
    case "any":
      return value;
    case "string":
      return toText(value);
    case "number":
      return toNumber(value);
    case "bool":
      return toBool(value);
    case "list":
    case "set": {
      const items = isList(value) ? all(value.map((item) => convert(item, type.of))) : undefined;
      if (items === undefined || type.kind === "list") return items;
      return items.filter((item, index) => items.findIndex((other) => isEqual(other, item)) === index);
    }
    case "map": {
      if (!isMap(value)) return undefined;
      const values = all([...value.values()].map((item) => convert(item, type.of)));
      return values === undefined
        ? undefined
        : mapOf([...value.keys()].map((key, index) => [key, values[index] ?? null] as const));
    }
    case "tuple":
      if (!isList(value) || value.length !== type.items.length) return undefined;
      return all(value.map((item, index) => convert(item, type.items[index] ?? { kind: "any" })));
    case "object":
      return convertObject(value, type.members);
    default:
      return unreachable(type);
  }
}

function convertObject(
  value: Value,
  members: ReadonlyMap<string, { readonly type: Type; readonly optional: boolean }>,
): Value | undefined {
  if (!isMap(value)) return undefined;
  const result: [string, Value][] = [];
  for (const [name, { type, optional }] of members) {
    if (!value.has(name) && !optional) return undefined;
    const item = convert(value.get(name) ?? null, type);
    if (item === undefined) return undefined;
    result.push([name, item]);
  }
  return mapOf(result);
}

function all(values: readonly (Value | undefined)[]): readonly Value[] | undefined {
  const found = values.filter((value) => value !== undefined);
  return found.length === values.length ? found : undefined;
}
