import { fromJson, isEqual, isList, isMap, mapOf, toText, typeName, type Value } from "../hcl/value.ts";
import { type Args, callFailure, define, type NativeFunction } from "./args.ts";

const ANY = Number.POSITIVE_INFINITY;

/** Functions of lists, sets and objects. A set is a sorted list without doubles. */
export const COLLECTION_FUNCTIONS: Readonly<Record<string, NativeFunction>> = {
  chunklist: define(2, 2, (args) => {
    const [list, size] = [args.list(0), args.whole(1)];
    if (size < 0) throw callFailure("the size is not negative");
    if (size === 0) return [list];
    return Array.from({ length: Math.ceil(list.length / size) }, (_, index) =>
      list.slice(index * size, (index + 1) * size),
    );
  }),
  coalesce: define(1, ANY, (args) => {
    const found = args.values.find((value) => value !== null);
    if (found === undefined) throw callFailure("all arguments are null");
    return args.values.some((value) => typeof value === "string") ? (toText(found) ?? found) : found;
  }),
  coalescelist: define(1, ANY, (args) => {
    const found = args.values.find((value) => isList(value) && value.length > 0);
    if (found === undefined) throw callFailure("all lists are empty");
    return found;
  }),
  compact: define(1, 1, (args) => args.list(0).filter((value) => value !== null && value !== "")),
  concat: define(1, ANY, (args) => args.values.flatMap((_, index) => args.list(index))),
  contains: define(2, 2, (args) => args.list(0).some((value) => isEqual(value, args.any(1)))),
  distinct: define(1, 1, (args) => distinct(args.list(0))),
  element: define(2, 2, (args) => {
    const [list, index] = [args.list(0), args.whole(1)];
    if (list.length === 0) throw callFailure("the list is empty");
    return list[((index % list.length) + list.length) % list.length] ?? null;
  }),
  flatten: define(1, 1, (args) => flatten(args.list(0))),
  index: define(2, 2, (args) => elementOfArgument(args)),
  indexof: define(2, 2, (args) => {
    const found = args.list(0).findIndex((value) => isEqual(value, args.any(1)));
    if (found === -1) throw callFailure("item not found");
    return found;
  }),
  keys: define(1, 1, (args) => [...args.map(0).keys()]),
  length: define(1, 1, (args) => {
    const value = args.any(0);
    if (isList(value)) return value.length;
    return args.map(0).size;
  }),
  lookup: define(2, 3, (args) => {
    const found = args.map(0).get(args.text(1));
    if (found !== undefined) return found;
    if (args.count === 3) return args.any(2);
    throw callFailure(`there is no element ${JSON.stringify(args.text(1))}`);
  }),
  merge: define(0, ANY, (args) =>
    mapOf(args.values.flatMap((value, index) => (value === null ? [] : [...args.map(index)]))),
  ),
  reverselist: define(1, 1, (args) => args.list(0).toReversed()),
  sethaselement: define(2, 2, (args) => args.list(0).some((value) => isEqual(value, args.any(1)))),
  setunion: define(1, ANY, (args) => setOf(args.values.flatMap((_, index) => args.list(index)))),
  setintersection: define(1, ANY, (args) =>
    setOf(args.list(0).filter((value) => args.values.every((_, index) => has(args.list(index), value)))),
  ),
  setsubtract: define(2, 2, (args) => setOf(args.list(0).filter((value) => !has(args.list(1), value)))),
  setsymmetricdifference: define(1, ANY, (args) =>
    args.values
      .map((_, index) => args.list(index))
      .reduce((a, b) => setOf([...a.filter((value) => !has(b, value)), ...b.filter((value) => !has(a, value))])),
  ),
  setproduct: define(2, ANY, (args) =>
    args.values.reduce<readonly (readonly Value[])[]>(
      (rows, _, index) => bounded(rows.flatMap((row) => args.list(index).map((value) => [...row, value]))),
      [[]],
    ),
  ),
  slice: define(3, 3, (args) => {
    const [list, start, end] = [args.list(0), args.whole(1), args.whole(2)];
    if (start < 0 || end > list.length || start > end)
      throw callFailure(`the list has no elements from ${start} to ${end}`);
    return list.slice(start, end);
  }),
  sort: define(1, 1, (args) => args.texts(0).toSorted(byCodeUnit)),
  values: define(1, 1, (args) => [...args.map(0).values()]),
  zipmap: define(2, 2, (args) => {
    const [keys, values] = [args.texts(0), args.list(1)];
    if (keys.length !== values.length) throw callFailure(`${keys.length} keys and ${values.length} values`);
    return mapOf(keys.map((key, index) => [key, values[index] ?? null] as const));
  }),
  jsondecode: define(1, 1, (args) => {
    try {
      const parsed: unknown = JSON.parse(args.text(0));
      return fromJson(parsed);
    } catch (error) {
      if (error instanceof SyntaxError) throw callFailure(`this is no JSON: ${error.message}`);
      throw error;
    }
  }),
};

/** The largest product of sets: more combinations are a mistake. */
const MAX_PRODUCT = 65_536;

function bounded<T>(rows: readonly T[]): readonly T[] {
  if (rows.length > MAX_PRODUCT) throw callFailure(`more than ${MAX_PRODUCT} combinations`);
  return rows;
}

function elementOfArgument(args: Args): Value {
  const [value, key] = [args.any(0), args.any(1)];
  const name = toText(key);
  if (isMap(value) && name !== undefined && value.has(name)) return value.get(name) ?? null;
  if (isList(value) && typeof key === "number" && value[key] !== undefined) return value[key];
  throw callFailure(`the ${typeName(value)} has no element ${name ?? typeName(key)}`);
}

function distinct(list: readonly Value[]): Value[] {
  return list.filter((value, index) => list.findIndex((other) => isEqual(other, value)) === index);
}

/** Makes the list of a set: sorted where its elements are texts or numbers. */
function setOf(list: readonly Value[]): Value[] {
  return distinct(list).toSorted((a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return byCodeUnit(toText(a) ?? "", toText(b) ?? "");
  });
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function has(list: readonly Value[], value: Value): boolean {
  return list.some((other) => isEqual(other, value));
}

function flatten(list: readonly Value[]): Value[] {
  return list.flatMap((value) => (isList(value) ? flatten(value) : [value]));
}
