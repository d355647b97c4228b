import { unreachable } from "../../../lib/core/errors.ts";
import { templateError } from "./failure.ts";
import { ArgumentError, FUNCTIONS } from "./functions.ts";
import { goText } from "./go-text.ts";
import type { Command, Node, Nodes, Operand, Pipeline, Tree } from "./tree.ts";
import { type Value, isList, isMap, isStruct, isTrue, memberOf, typeName } from "./value.ts";

/** Limit on nested template calls. */
const MAX_CALLS = 100;

/** The reason for leaving a list of nodes before its end. */
type Left = "break" | "continue" | undefined;

/** An execution of a template for one value. */
export class Evaluator {
  #written: string[] = [];
  readonly #text: string;
  readonly #tree: Tree;
  #variables: { readonly name: string; value: Value }[] = [];
  #calls = 0;

  constructor(text: string, tree: Tree) {
    this.#text = text;
    this.#tree = tree;
  }

  /**
   * Writes the template out.
   * @throws {BuildError} `cli/template`
   */
  run(data: Value): string {
    this.#written = [];
    this.#variables = [{ name: "$", value: data }];
    this.#walk(this.#tree.body, data);
    return this.#written.join("");
  }

  #walk(nodes: Nodes, dot: Value): Left {
    const count = this.#variables.length;
    try {
      for (const node of nodes) {
        const left = this.#node(node, dot);
        if (left !== undefined) return left;
      }
      return undefined;
    } finally {
      this.#variables.length = count;
    }
  }

  #node(node: Node, dot: Value): Left {
    switch (node.kind) {
      case "text":
        this.#written.push(node.text);
        return undefined;
      case "action": {
        const value = this.#pipeline(node.pipeline, dot);
        if (node.pipeline.variables.length === 0)
          this.#written.push(value === undefined ? "<no value>" : goText(value));
        return undefined;
      }
      case "if":
      case "with":
        return this.#inScope(() => {
          const value = this.#pipeline(node.pipeline, dot);
          const inside = node.kind === "with" ? value : dot;
          return isTrue(value) ? this.#walk(node.body, inside) : this.#walk(node.otherwise, dot);
        });
      case "range":
        return this.#range(node, dot);
      case "template":
        return this.#template(node, dot);
      case "break":
      case "continue":
        return node.kind;
      default:
        return unreachable(node);
    }
  }

  #range(node: Extract<Node, { kind: "range" }>, dot: Value): Left {
    const { variables, isAssignment } = node.pipeline;
    const container = this.#pipeline({ ...node.pipeline, variables: [] }, dot);
    const items = this.#items(container, node.pipeline);
    let count = 0;
    for (const [key, item] of items) {
      count++;
      const left = this.#inScope(() => {
        const values = variables.length === 2 ? [key, item] : [item];
        for (const [index, name] of variables.entries()) this.#set(name, values[index], isAssignment);
        return this.#walk(node.body, item);
      });
      if (left === "break") break;
    }
    return count === 0 ? this.#walk(node.otherwise, dot) : undefined;
  }

  *#items(container: Value, { position }: Pipeline): Generator<readonly [Value, Value]> {
    if (isList(container)) yield* container.entries();
    else if (isMap(container)) yield* container.entries();
    else if (typeof container === "number" && Number.isInteger(container)) {
      for (let index = 0; index < container; index++) yield [index, index];
    } else if (container !== undefined && container !== null) {
      throw this.#error(position, `range cannot go over ${typeName(container)}`);
    }
  }

  #template(node: Extract<Node, { kind: "template" }>, dot: Value): Left {
    const body = this.#tree.templates.get(node.name);
    if (body === undefined)
      throw this.#error(node.position, `the template ${JSON.stringify(node.name)} is not defined`);
    if (this.#calls >= MAX_CALLS) throw this.#error(node.position, "templates call each other without end");
    const value = node.pipeline === undefined ? undefined : this.#pipeline(node.pipeline, dot);
    const outside = this.#variables;
    this.#variables = [{ name: "$", value }];
    this.#calls++;
    this.#walk(body, value);
    this.#calls--;
    this.#variables = outside;
    return undefined;
  }

  #pipeline(pipeline: Pipeline, dot: Value): Value {
    let value: Value;
    for (const [index, command] of pipeline.commands.entries()) {
      value = this.#command(command, dot, index === 0 ? [] : [value]);
    }
    for (const name of pipeline.variables) this.#set(name, value, pipeline.isAssignment);
    return value;
  }

  #command(command: Command, dot: Value, piped: readonly Value[]): Value {
    const [first, ...rest] = command.operands;
    if (first === undefined) return undefined;
    if (first.kind === "function") {
      const value = this.#call(first.name, command, rest, { dot, piped });
      return this.#fields(value, first, command);
    }
    if (rest.length > 0 || piped.length > 0) {
      throw this.#error(command.position, `${command.text} is not a function and takes no arguments`);
    }
    return this.#operand(first, dot, command);
  }

  #call(
    name: string,
    command: Command,
    operands: readonly Operand[],
    { dot, piped }: { readonly dot: Value; readonly piped: readonly Value[] },
  ): Value {
    if (name === "and" || name === "or") return this.#shortCircuit(name, command, operands, { dot, piped });
    const args = [...operands.map((operand) => this.#operand(operand, dot, command)), ...piped];
    const run = FUNCTIONS.get(name);
    if (run === undefined) throw this.#error(command.position, `the function ${JSON.stringify(name)} is not defined`);
    try {
      return run(args);
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error;
      throw this.#error(command.position, `${command.text}: ${error.message}`);
    }
  }

  /** Evaluates arguments only until the answer is known, so that a guard in front protects what follows. */
  #shortCircuit(
    name: "and" | "or",
    command: Command,
    operands: readonly Operand[],
    { dot, piped }: { readonly dot: Value; readonly piped: readonly Value[] },
  ): Value {
    if (operands.length + piped.length === 0) throw this.#error(command.position, `${name} wants an argument`);
    let value: Value;
    for (const operand of operands) {
      value = this.#operand(operand, dot, command);
      if (isTrue(value) === (name === "or")) return value;
    }
    return piped.length > 0 ? piped[0] : value;
  }

  #operand(operand: Operand, dot: Value, command: Command): Value {
    switch (operand.kind) {
      case "dot":
        return this.#fields(dot, operand, command);
      case "literal":
        return this.#fields(operand.value, operand, command);
      case "variable":
        return this.#fields(this.#variables.findLast(({ name }) => name === operand.name)?.value, operand, command);
      case "pipeline":
        return this.#fields(this.#pipeline(operand.pipeline, dot), operand, command);
      case "function":
        return this.#fields(this.#call(operand.name, command, [], { dot, piped: [] }), operand, command);
      default:
        return unreachable(operand);
    }
  }

  #fields(start: Value, { fields, position }: Operand, command: Command): Value {
    let value = start;
    for (const name of fields) {
      if (isMap(value)) value = value.get(name);
      else if (isStruct(value)) value = this.#member(value, name, position);
      else if (value === undefined) return undefined;
      else throw this.#error(position, `${command.text}: ${typeName(value)} has no field ${name}`);
    }
    return value;
  }

  #member(struct: Readonly<Record<string, Value>>, name: string, position: number): Value {
    const member = memberOf(struct, name);
    if (member !== undefined) return member.value;
    const names = Object.keys(struct);
    const hint = names.length === 0 ? undefined : `fields here: ${names.map((one) => `.${one}`).join(" ")}`;
    throw templateError(this.#text, position, `there is no field ${name}`, hint);
  }

  #set(name: string, value: Value, isAssignment: boolean): void {
    const known = isAssignment ? this.#variables.findLast((one) => one.name === name) : undefined;
    if (known === undefined) this.#variables.push({ name, value });
    else known.value = value;
  }

  #inScope(run: () => Left): Left {
    const count = this.#variables.length;
    try {
      return run();
    } finally {
      this.#variables.length = count;
    }
  }

  #error(position: number, message: string): Error {
    return templateError(this.#text, position, message);
  }
}
