import type { BuildError } from "../../lib/core/errors.ts";
import { csvFields } from "../../lib/core/csv.ts";
import { argumentsOf, callLibrary, checkCount, FUNCTION_NAMES } from "./functions/library.ts";
import type { FunctionHost } from "./functions/args.ts";
import type { Attribute, Block, Body, CallExpression, Expression, Place } from "./hcl/ast.ts";
import { evaluate, type Scope, withVariables } from "./hcl/evaluate.ts";
import { failureAt, valueFailure } from "./hcl/failure.ts";
import { boolOf } from "./hcl/operators.ts";
import { convertValue, parseType, type Type } from "./hcl/types.ts";
import { fromJson, isList, isMap, mapOf, toBool, toNumber, toText, type Value } from "./hcl/value.ts";

/** The world around the files. */
export interface DefinitionHost extends FunctionHost {
  /** Looks up `--var` and the environment. */
  readonly lookup: (name: string) => string | undefined;
  /** BAKE_CMD_CONTEXT, BAKE_LOCAL_PLATFORM. */
  readonly builtin: ReadonlyMap<string, string>;
}

interface Declared {
  readonly name: string;
  readonly block: Block;
  readonly attributes: ReadonlyMap<string, Attribute>;
  readonly checks: readonly Block[];
}

interface UserFunction {
  readonly params: readonly string[];
  readonly variadic: string | undefined;
  readonly result: Expression;
}

/** Calls of functions inside each other beyond this have no end. */
const MAX_CALLS = 100;

/** Variables, functions and plain attributes of all files, evaluated when something asks for them. */
export class Globals {
  readonly scope: Scope;
  readonly #host: DefinitionHost;
  readonly #attributes = new Map<string, Attribute>();
  readonly #declared = new Map<string, Declared>();
  readonly #functions = new Map<string, UserFunction>();
  readonly #blocks = new Map<string, Block[]>();
  readonly #values = new Map<string, Value>();
  readonly #open = new Set<string>();
  #calls = 0;

  constructor(bodies: readonly Body[], host: DefinitionHost) {
    this.#host = host;
    for (const { attributes, blocks } of bodies) {
      for (const attribute of attributes) this.#attributes.set(attribute.name, attribute);
      for (const block of blocks) this.#declare(block);
    }
    this.scope = {
      variable: (name, place) => this.#variable(name, place),
      blockAttribute: (type, label, name, place) => this.#blockAttribute(type, label, name, place),
      call: (call, scope) => this.#call(call, scope),
      names: (kind) =>
        kind === "function"
          ? [...this.#functions.keys(), ...FUNCTION_NAMES]
          : [...this.#declared.keys(), ...this.#attributes.keys(), ...host.builtin.keys()],
    };
  }

  /** Evaluates everything once: an error in what nothing uses is an error all the same. */
  checkAll(): void {
    for (const { name, value } of this.#attributes.values()) this.#variable(name, value.place);
    for (const { name, block } of this.#declared.values()) this.#variable(name, block.place);
    for (const { checks } of this.#declared.values()) for (const check of checks) this.#validate(check);
  }

  /** Lists the variables by name. */
  variables(): {
    readonly name: string;
    readonly description: string | undefined;
    readonly type: Type | undefined;
    readonly value: Value;
  }[] {
    return [...this.#declared.values()]
      .map((declared) => ({
        name: declared.name,
        description: this.#text(declared, "description"),
        type: typeOf(declared),
        value: this.#values.get(declared.name) ?? null,
      }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  #declare(block: Block): void {
    const [label] = block.labels;
    if (label === undefined)
      throw failureAt(
        "bake/definition",
        `Cannot use this ${block.type}: it has no name`,
        block.place,
        `write ${block.type} "name" { }`,
      );
    const { text: name } = label;
    if (block.type === "variable") {
      const before = this.#declared.get(name);
      const attributes = new Map([
        ...(before?.attributes ?? []),
        ...block.body.attributes.map((one) => [one.name, one] as const),
      ]);
      const checks = block.body.blocks.filter(({ type }) => type === "validation");
      this.#declared.set(name, { name, block, attributes, checks: [...(before?.checks ?? []), ...checks] });
    } else if (block.type === "function") this.#functions.set(name, functionOf(block));
    else if (block.type === "target" || block.type === "group") {
      const key = `${block.type}.${name}`;
      this.#blocks.set(key, [...(this.#blocks.get(key) ?? []), block]);
    } else
      throw failureAt(
        "bake/definition",
        `Cannot use a block ${JSON.stringify(block.type)}`,
        block.place,
        "blocks are target, group, variable and function",
      );
  }

  #variable(name: string, place: Place): Value | undefined {
    const known = this.#values.get(name);
    if (known !== undefined || this.#values.has(name)) return known;
    return this.#once(name, place, () => {
      const declared = this.#declared.get(name);
      const attribute = this.#attributes.get(name);
      const builtin = this.#host.builtin.get(name);
      if (builtin !== undefined) return builtin;
      if (declared !== undefined) return this.#declaredValue(declared, attribute);
      return attribute === undefined ? undefined : evaluate(attribute.value, this.scope);
    });
  }

  /** Computes and keeps a value; refuses one that needs itself. */
  #once(key: string, place: Place, work: () => Value | undefined): Value | undefined {
    if (this.#open.has(key)) throw valueFailure(`Cannot evaluate ${JSON.stringify(key)}: it depends on itself`, place);
    this.#open.add(key);
    try {
      const value = work();
      if (value !== undefined) this.#values.set(key, value);
      return value;
    } finally {
      this.#open.delete(key);
    }
  }

  /** The value of the environment or `--var`, of a plain attribute, or the default. */
  #declaredValue(declared: Declared, attribute: Attribute | undefined): Value {
    const { name, attributes, block } = declared;
    const type = typeOf(declared);
    const given = attribute?.value ?? attributes.get("default")?.value;
    const value = given === undefined ? undefined : evaluate(given, this.scope);
    const initial =
      value !== undefined && type !== undefined && given !== undefined ? convertValue(value, type, given.place) : value;
    const json = this.#host.lookup(`${name}_JSON`);
    const text = this.#host.lookup(name);
    if (text !== undefined) return fromText(text, { name, type, initial, place: block.place });
    if (json !== undefined && type !== undefined) return fromJsonText(json, name, type, block.place);
    if (initial !== undefined) return initial;
    return type === undefined ? "" : null;
  }

  #blockAttribute(type: string, label: string, name: string, place: Place): Value | undefined {
    const blocks = this.#blocks.get(`${type}.${label}`);
    if (blocks === undefined) return undefined;
    const found = blocks.flatMap(({ body }) => body.attributes).findLast((attribute) => attribute.name === name);
    // An attribute that the block does not give is null, as every other value that is not given.
    if (found === undefined) return null;
    const key = `${type}.${label}.${name}`;
    if (this.#values.has(key)) return this.#values.get(key);
    return this.#once(key, place, () => evaluate(found.value, this.scope));
  }

  #call(call: CallExpression, scope: Scope): Value | undefined {
    const own = this.#functions.get(call.name.text);
    if (own === undefined) return callLibrary(call, scope, this.#host);
    const values = argumentsOf(call, scope);
    checkCount(call, values.length, {
      least: own.params.length,
      most: own.variadic === undefined ? own.params.length : Number.POSITIVE_INFINITY,
    });
    const variables = new Map<string, Value>(own.params.map((name, index) => [name, values[index] ?? null] as const));
    if (own.variadic !== undefined) variables.set(own.variadic, values.slice(own.params.length));
    if (this.#calls >= MAX_CALLS)
      throw valueFailure(`Cannot call ${call.name.text}(): it calls itself without an end`, call.place);
    this.#calls += 1;
    try {
      return evaluate(own.result, withVariables(this.scope, variables));
    } finally {
      this.#calls -= 1;
    }
  }

  #validate({ body, place }: Block): void {
    const condition = body.attributes.find(({ name }) => name === "condition");
    const message = body.attributes.find(({ name }) => name === "error_message");
    if (condition === undefined)
      throw failureAt("bake/definition", "Cannot use a validation without a condition", place);
    if (boolOf(evaluate(condition.value, this.scope), condition.value.place, "A condition")) return;
    const text = message === undefined ? undefined : toText(evaluate(message.value, this.scope));
    throw failureAt(
      "bake/definition",
      text ?? "This condition does not hold",
      condition.value.place,
      "give another value with --var NAME=VALUE or in the environment",
    );
  }

  #text({ attributes }: Declared, name: string): string | undefined {
    const attribute = attributes.get(name);
    return attribute === undefined ? undefined : toText(evaluate(attribute.value, this.scope));
  }
}

function typeOf({ attributes }: Declared): Type | undefined {
  const type = attributes.get("type");
  return type === undefined ? undefined : parseType(type.value);
}

function functionOf({ body, place }: Block): UserFunction {
  const attribute = (name: string): Expression | undefined => body.attributes.find((one) => one.name === name)?.value;
  const [params, variadic, result] = [attribute("params"), attribute("variadic_params"), attribute("result")];
  if (params?.kind !== "list" || result === undefined) {
    throw failureAt(
      "bake/definition",
      "Cannot use this function: it lacks params or result",
      place,
      "write params = [a, b] and result = a + b",
    );
  }
  return { params: params.items.map(parameterName), variadic: variadic && parameterName(variadic), result };
}

function parameterName(expression: Expression): string {
  if (expression.kind === "variable") return expression.name;
  const [part] = expression.kind === "template" ? expression.parts : [];
  if (part?.kind === "text") return part.text;
  throw failureAt("bake/definition", "Cannot use a parameter: it is a name", expression.place);
}

interface Wanted {
  readonly name: string;
  readonly type: Type | undefined;
  /** The default, whose type is the value's where none is declared. */
  readonly initial: Value | undefined;
  readonly place: Place;
}

function fromText(text: string, { name, type, initial, place }: Wanted): Value {
  const refuse = (wanted: string): BuildError =>
    failureAt("bake/definition", `Cannot use ${JSON.stringify(text)} for the variable ${name}: it is ${wanted}`, place);
  const kind =
    type?.kind ??
    (initial === null || initial === undefined
      ? "string"
      : isList(initial) || isMap(initial)
        ? "other"
        : typeof initial);
  switch (kind) {
    case "any":
    case "string":
      return text;
    case "number": {
      const number = toNumber(text);
      if (number === undefined) throw refuse("a number");
      return number;
    }
    case "bool":
    case "boolean": {
      const bool = toBool(/^t(?:rue)?$/i.test(text) ? "true" : /^f(?:alse)?$/i.test(text) ? "false" : text);
      if (bool === undefined) throw refuse("true or false");
      return bool;
    }
    case "list":
    case "set":
    case "tuple":
    case "map":
      return convertValue(fromCsv(text, kind, refuse), type ?? { kind: "any" }, place);
    default:
      throw refuse(`of another type than texts can have; declare its type, and give JSON in the variable ${name}_JSON`);
  }
}

/** Reads `a,b`, and `a=1,b=2` for maps. */
function fromCsv(text: string, kind: string, refuse: (wanted: string) => BuildError): Value {
  if (text === "") return kind === "map" ? mapOf([]) : [];
  const fields = csvFields(text);
  if (kind !== "map") return fields;
  return mapOf(
    fields.map((field) => {
      const equals = field.indexOf("=");
      if (equals === -1) throw refuse("a list of name=value");
      return [field.slice(0, equals), field.slice(equals + 1)] as const;
    }),
  );
}

function fromJsonText(text: string, name: string, type: Type, place: Place): Value {
  try {
    const parsed: unknown = JSON.parse(text);
    return convertValue(fromJson(parsed), type, place);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw failureAt("bake/definition", `Cannot use ${name}_JSON: it is no JSON: ${error.message}`, place);
  }
}
