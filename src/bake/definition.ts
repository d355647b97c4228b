import { BuildError } from "../../lib/core/errors.ts";
import type { Attribute, Block, Body, Expression, Place } from "./hcl/ast.ts";
import { evaluate, type Scope, withVariables } from "./hcl/evaluate.ts";
import { failureAt } from "./hcl/failure.ts";
import { isList, isMap, toText, type Value } from "./hcl/value.ts";
import { typeText } from "./hcl/types.ts";
import { fieldOf, fieldValue, mergeField, tidyField } from "./fields.ts";
import { type DefinitionHost, Globals } from "./globals.ts";

/** A group: targets and groups that are built together. */
export interface Group {
  readonly name: string;
  readonly description: string | undefined;
  readonly targets: readonly string[];
}

/** A target with what its files give it, before it inherits. */
export interface Target {
  readonly name: string;
  readonly inherits: readonly string[];
  readonly fields: ReadonlyMap<string, Value>;
}

/** A variable as `--list=variables` shows it. */
export interface Variable {
  readonly name: string;
  readonly description: string | undefined;
  readonly type: string | undefined;
  readonly value: Value;
}

/** All that the files of a project define. */
export interface Definition {
  readonly groups: readonly Group[];
  readonly targets: readonly Target[];
  readonly variables: readonly Variable[];
}

const NAME = /^[a-zA-Z0-9_-]+$/;

/**
 * Evaluates files of one project; later files add to earlier ones and win where both say something.
 * @throws {BuildError} `bake/definition`, `bake/expression` at the place that is wrong
 */
export function evaluateDefinition(bodies: readonly Body[], host: DefinitionHost): Definition {
  try {
    return evaluateAll(bodies, host);
  } catch (error) {
    // The only RangeError of an evaluation is a full stack.
    if (!(error instanceof RangeError)) throw error;
    throw new BuildError("bake/expression", "Cannot evaluate an expression: it nests too deeply", { cause: error });
  }
}

function evaluateAll(bodies: readonly Body[], host: DefinitionHost): Definition {
  const globals = new Globals(bodies, host);
  globals.checkAll();
  const targets: Target[] = [];
  const groups: Group[] = [];
  const matrices = new Map<string, string[]>();
  for (const block of bodies.flatMap((body) => body.blocks)) {
    if (block.type === "group") groups.push(groupOf(block, globals.scope));
    if (block.type !== "target") continue;
    const made = targetsOf(block, globals.scope);
    targets.push(...made);
    const label = labelOf(block).text;
    const names = made.map(({ name }) => name);
    if (names.length !== 1 || names[0] !== label) matrices.set(label, [...(matrices.get(label) ?? []), ...names]);
  }
  for (const [name, names] of matrices) groups.push({ name, description: undefined, targets: names });
  return {
    groups,
    targets,
    variables: globals.variables().map((one) => ({ ...one, type: one.type && typeText(one.type) })),
  };
}

/** Joins what several files define: groups and targets of one name become one. */
export function mergeDefinitions(definitions: readonly Definition[]): Definition {
  const groups = new Map<string, Group>();
  for (const group of definitions.flatMap((one) => one.groups)) {
    const before = groups.get(group.name);
    groups.set(group.name, {
      ...group,
      targets: [...new Set(group.targets)],
      description: group.description ?? before?.description,
    });
  }
  const targets = new Map<string, Target>();
  for (const target of definitions.flatMap((one) => one.targets)) {
    const before = targets.get(target.name);
    targets.set(target.name, before === undefined ? target : mergeTargets(before, target));
  }
  return {
    groups: [...groups.values()],
    targets: [...targets.values()],
    variables: definitions.flatMap((one) => one.variables),
  };
}

/** Puts a target's attributes over another's. */
export function mergeTargets(base: Target, over: Target): Target {
  const fields = new Map(base.fields);
  for (const [name, value] of over.fields) {
    const field = fieldOf(name);
    if (field !== undefined) fields.set(name, mergeField(field, fields.get(name), value));
  }
  return { name: over.name, inherits: [...base.inherits, ...over.inherits], fields };
}

/** Makes a target's attributes final: no doubles, and the entitlement that its network needs. */
export function tidyTarget(target: Target): Target {
  const withHost = new Map(target.fields);
  if (target.fields.get("network") === "host") {
    const before = target.fields.get("entitlements") ?? [];
    withHost.set("entitlements", [...(isList(before) ? before : []), "network.host"]);
  }
  const fields = [...withHost].flatMap(([name, value]) => {
    const field = fieldOf(name);
    const tidy = field === undefined ? undefined : tidyField(field, value);
    return tidy === undefined ? [] : [[name, tidy] as const];
  });
  return { ...target, fields: new Map(fields) };
}

function labelOf(block: Block): { readonly text: string; readonly place: Place } {
  const [label] = block.labels;
  if (label === undefined || block.labels.length > 1) {
    throw failureAt(
      "bake/definition",
      `Cannot use this ${block.type}: it has ${block.labels.length} names`,
      block.place,
      `write ${block.type} "name" { }`,
    );
  }
  return label;
}

function checkedName(name: string, place: Place): string {
  if (NAME.test(name)) return name;
  throw failureAt(
    "bake/definition",
    `Cannot use the name ${JSON.stringify(name)}: it has signs other than letters, digits, _ and -`,
    place,
    'sanitize("a.b") makes a name of any text',
  );
}

function groupOf(block: Block, scope: Scope): Group {
  const label = labelOf(block);
  let targets: readonly string[] = [];
  let description: string | undefined;
  for (const { name, value, place } of block.body.attributes) {
    if (name === "targets") targets = textsOf(value, scope, "targets");
    else if (name === "description") description = toText(evaluate(value, scope));
    else if (name === "matrix" || name === "name")
      throw failureAt("bake/definition", `${name} is not supported for groups`, place);
  }
  return { name: checkedName(label.text, label.place), description, targets };
}

function targetsOf(block: Block, scope: Scope): Target[] {
  const label = labelOf(block);
  const matrix = block.body.attributes.find(({ name }) => name === "matrix");
  const named = block.body.attributes.find(({ name }) => name === "name");
  if (named !== undefined && matrix === undefined)
    throw failureAt("bake/definition", "name requires matrix", named.place);
  const scopes = matrix === undefined ? [scope] : matrixScopes(matrix, scope);
  const made = scopes.map((inner) => {
    const name = named === undefined ? label.text : toText(evaluate(named.value, inner));
    return targetOf(checkedName(name ?? "", named?.value.place ?? label.place), block, inner);
  });
  // Combinations with one name are one target.
  return [...mergeDefinitions([{ groups: [], targets: made, variables: [] }]).targets];
}

/** The most combinations of a matrix. */
const MAX_COMBINATIONS = 4096;

function matrixScopes({ value, place }: Attribute, scope: Scope): Scope[] {
  const matrix = evaluate(value, scope);
  if (!isMap(matrix)) throw failureAt("bake/definition", "Cannot use the matrix: it is an object of lists", place);
  let rows: readonly ReadonlyMap<string, Value>[] = [new Map()];
  for (const [name, values] of matrix) {
    if (!isList(values))
      throw failureAt("bake/definition", `Cannot use the matrix: ${JSON.stringify(name)} is no list`, place);
    rows = values.flatMap((item) => rows.map((row) => new Map([...row, [name, item] as const])));
    if (rows.length > MAX_COMBINATIONS)
      throw failureAt(
        "bake/definition",
        `Cannot use the matrix: it has more than ${MAX_COMBINATIONS} combinations`,
        place,
      );
  }
  return rows.map((row) => withVariables(scope, row));
}

function targetOf(name: string, block: Block, scope: Scope): Target {
  const fields = new Map<string, Value>();
  let inherits: readonly string[] = [];
  for (const attribute of block.body.attributes) {
    if (attribute.name === "inherits") inherits = textsOf(attribute.value, scope, "inherits");
    const field = fieldOf(attribute.name);
    if (field === undefined) continue;
    const value = placed(attribute.value.place, () => fieldValue(field, evaluate(attribute.value, scope)));
    if (value !== undefined) fields.set(attribute.name, value);
  }
  return { name, inherits, fields };
}

function textsOf(expression: Expression, scope: Scope, what: string): readonly string[] {
  const value = evaluate(expression, scope);
  const texts = value === null ? [] : isList(value) ? value.map(toText) : [undefined];
  const found = texts.filter((text) => text !== undefined);
  if (found.length === texts.length) return found;
  throw failureAt("bake/definition", `Cannot use ${what}: it is a list of texts`, expression.place);
}

/** Adds a place to an error without one. */
function placed<T>(place: Place, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof BuildError) || error.span !== undefined) throw error;
    throw error.at(place.source.span(place.start, place.end));
  }
}
