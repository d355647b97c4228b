import { didYouMean } from "../../../lib/core/suggest.ts";
import { BuildError, unreachable } from "../../../lib/core/errors.ts";
import type { CallExpression, Expression, ForExpression, LoopNames, Place, TemplatePart } from "./ast.ts";
import { valueFailure } from "./failure.ts";
import { applyBinary, applyUnary, boolOf, unify } from "./operators.ts";
import { trimParts } from "./trim.ts";
import { isList, isMap, mapOf, toText, toNumber, typeName, type Value } from "./value.ts";

/** The names that an expression may use. */
export interface Scope {
  /** The value of a variable; `undefined` when there is none. */
  variable(name: string, place: Place): Value | undefined;
  /** The attribute of another block, as in `target.app.tags`; `undefined` when the names are no block. */
  blockAttribute(type: string, label: string, name: string, place: Place): Value | undefined;
  /** Calls a function; `undefined` when there is none of that name. */
  call(call: CallExpression, scope: Scope): Value | undefined;
  /** All names, for suggestions. */
  names(kind: "variable" | "function"): Iterable<string>;
}

/** A scope with some more variables. */
export function withVariables(outer: Scope, variables: ReadonlyMap<string, Value>): Scope {
  return {
    variable: (name, place) => (variables.has(name) ? variables.get(name) : outer.variable(name, place)),
    blockAttribute: (type, label, name, place) =>
      variables.has(type) ? undefined : outer.blockAttribute(type, label, name, place),
    call: (call, scope) => outer.call(call, scope),
    names: (kind) => [...(kind === "variable" ? variables.keys() : []), ...outer.names(kind)],
  };
}

/**
 * Computes the value of an expression.
 * @throws {BuildError} `bake/expression` at the part that has none
 */
export function evaluate(expression: Expression, scope: Scope): Value {
  switch (expression.kind) {
    case "literal":
      return expression.value;
    case "group":
      return evaluate(expression.value, scope);
    case "variable": {
      const value = scope.variable(expression.name, expression.place);
      if (value !== undefined) return value;
      const guess = didYouMean(expression.name, scope.names("variable"));
      throw valueFailure(`There is no variable ${JSON.stringify(expression.name)}${guess}`, expression.place);
    }
    case "template":
      return templateValue(expression.parts, scope);
    case "list":
      return expression.items.map((item) => evaluate(item, scope));
    case "object":
      return mapOf(expression.items.map(({ key, value }) => [keyOf(key, scope), evaluate(value, scope)] as const));
    case "call":
      return callValue(expression, scope);
    case "attribute": {
      const block = blockValue(expression, scope);
      return block === undefined ? attributeOf(evaluate(expression.value, scope), expression) : block;
    }
    case "index":
      return elementOf(evaluate(expression.value, scope), evaluate(expression.key, scope), expression.key.place);
    case "splat": {
      const value = evaluate(expression.value, scope);
      const items = value === null ? [] : isList(value) ? value : [value];
      return items.map((item) => evaluate(expression.each, withVariables(scope, new Map([["", item]]))));
    }
    case "unary":
      return applyUnary(expression, evaluate(expression.value, scope));
    case "binary":
      return applyBinary(expression, evaluate(expression.left, scope), evaluate(expression.right, scope));
    case "conditional": {
      const isTrue = boolOf(evaluate(expression.condition, scope), expression.condition.place, "A condition");
      const [taken, other] = isTrue
        ? [expression.whenTrue, expression.whenFalse]
        : [expression.whenFalse, expression.whenTrue];
      const value = evaluate(taken, scope);
      // The type of the other result counts too, where it has one.
      const beside = valueIfAny(other, scope);
      return beside === undefined ? value : (unify([value, beside])[0] ?? null);
    }
    case "for":
      return loopValue(expression, scope);
    default:
      return unreachable(expression);
  }
}

function valueIfAny(expression: Expression, scope: Scope): Value | undefined {
  try {
    return evaluate(expression, scope);
  } catch (error) {
    if (error instanceof BuildError && error.code === "bake/expression") return undefined;
    throw error;
  }
}

function keyOf(key: Expression, scope: Scope): string {
  if (key.kind === "variable") return key.name;
  const text = toText(evaluate(key, scope));
  if (text === undefined) throw valueFailure("The key of an object is a text", key.place);
  return text;
}

function callValue(expression: CallExpression, scope: Scope): Value {
  const value = scope.call(expression, scope);
  if (value !== undefined) return value;
  const { text, place } = expression.name;
  throw valueFailure(`There is no function ${JSON.stringify(text)}${didYouMean(text, scope.names("function"))}`, place);
}

/** Evaluates `target.app.tags`. */
function blockValue(expression: Expression & { readonly kind: "attribute" }, scope: Scope): Value | undefined {
  const { value: inner } = expression;
  const isLabelled = inner.kind === "attribute" || inner.kind === "index";
  if (!isLabelled || inner.value.kind !== "variable") return undefined;
  const label = inner.kind === "attribute" ? inner.name : toText(evaluate(inner.key, scope));
  if (label === undefined) return undefined;
  return scope.blockAttribute(inner.value.name, label, expression.name, expression.place);
}

function attributeOf(value: Value, { name, place }: { readonly name: string; readonly place: Place }): Value {
  if (isMap(value) && value.has(name)) return value.get(name) ?? null;
  if (!isMap(value)) throw valueFailure(`There is no attribute ${JSON.stringify(name)} of a ${typeName(value)}`, place);
  throw valueFailure(`The object has no attribute ${JSON.stringify(name)}${didYouMean(name, value.keys())}`, place);
}

/** Takes an element out of a list or an object. */
function elementOf(value: Value, key: Value, place: Place): Value {
  if (isList(value)) {
    const index = toNumber(key);
    const found = index === undefined || !Number.isInteger(index) ? undefined : value[index];
    if (found !== undefined) return found;
    throw valueFailure(`The list has no element ${toText(key) ?? typeName(key)}: it has ${value.length}`, place);
  }
  if (!isMap(value)) throw valueFailure(`A ${typeName(value)} has no elements`, place);
  const name = toText(key);
  if (name !== undefined && value.has(name)) return value.get(name) ?? null;
  throw valueFailure(
    `The object has no element ${JSON.stringify(name ?? typeName(key))}${didYouMean(name ?? "", value.keys())}`,
    place,
  );
}

function loopValue(expression: ForExpression, scope: Scope): Value {
  const { key, value, condition, groups } = expression;
  const list: Value[] = [];
  const members = new Map<string, Value>();
  for (const inner of iterations(expression, scope)) {
    if (condition !== undefined && !boolOf(evaluate(condition, inner), condition.place, "The condition of a for"))
      continue;
    const item = evaluate(value, inner);
    if (key === undefined) {
      list.push(item);
      continue;
    }
    const name = toText(evaluate(key, inner));
    if (name === undefined) throw valueFailure("The key of an object is a text", key.place);
    const before = members.get(name);
    if (before !== undefined && !groups) {
      throw valueFailure(
        `Two elements have the key ${JSON.stringify(name)}`,
        key.place,
        "value... makes a list of the values of each key",
      );
    }
    members.set(name, groups ? [...(before !== undefined && isList(before) ? before : []), item] : item);
  }
  return key === undefined ? list : mapOf(members);
}

/** Yields a scope for each element. */
function* iterations(loop: { readonly names: LoopNames; readonly list: Expression }, scope: Scope): Generator<Scope> {
  const list = evaluate(loop.list, scope);
  if (!isList(list) && !isMap(list))
    throw valueFailure(`Cannot go through a ${typeName(list)}: it is no list and no object`, loop.list.place);
  for (const [key, value] of isList(list) ? list.entries() : list) {
    const { names } = loop;
    yield withVariables(
      scope,
      new Map<string, Value>([...(names.key === undefined ? [] : [[names.key, key] as const]), [names.value, value]]),
    );
  }
}

/** Evaluates a template. One that is only `${value}` has the value itself, whatever its type. */
function templateValue(parts: readonly TemplatePart[], scope: Scope): Value {
  const [first] = parts;
  if (parts.length === 1 && first?.kind === "value") return evaluate(first.value, scope);
  return templateText(trimParts(parts), scope);
}

function templateText(parts: readonly TemplatePart[], scope: Scope): string {
  return parts.map((part) => partText(part, scope)).join("");
}

function partText(part: TemplatePart, scope: Scope): string {
  switch (part.kind) {
    case "text":
      return part.text;
    case "value": {
      const value = evaluate(part.value, scope);
      const text = toText(value);
      if (text !== undefined) return text;
      throw valueFailure(
        `Cannot put a ${typeName(value)} into a text`,
        part.value.place,
        value === null ? undefined : "join() and jsonencode() make texts",
      );
    }
    case "if": {
      const isTrue = boolOf(evaluate(part.condition, scope), part.condition.place, "A condition");
      return templateText(isTrue ? part.whenTrue : part.whenFalse, scope);
    }
    case "for":
      return [...iterations(part, scope)].map((inner) => templateText(part.parts, inner)).join("");
    default:
      return unreachable(part);
  }
}
