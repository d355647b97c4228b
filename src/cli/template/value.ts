/**
 * A value that a template works on. An object is a Go struct: its names are known, and any other name is an error. A `Map` is a
 * Go map: a missing key has no value. `null` is Go's nil, `undefined` is no value at all.
 */
export type Value =
  | undefined
  | null
  | string
  | number
  | boolean
  | readonly Value[]
  | Struct
  | ReadonlyMap<string, Value>;

export interface Struct {
  readonly [name: string]: Value;
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

export function isMap(value: Value): value is ReadonlyMap<string, Value> {
  return value instanceof Map;
}

export function isStruct(value: Value): value is Struct {
  return typeof value === "object" && value !== null && !isList(value) && !isMap(value);
}

/** Decides as Go's `if` does: false, 0, nil and everything empty are false; a struct is true. */
export function isTrue(value: Value): boolean {
  if (isList(value)) return value.length > 0;
  if (isMap(value)) return value.size > 0;
  return value !== undefined && value !== null && value !== "" && value !== 0 && value !== false;
}

/** Finds a struct's member. Go's names and their JSON differ in case only (`RootFS`, `rootfs`), so either spelling is found. */
export function memberOf(struct: Struct, name: string): { readonly value: Value } | undefined {
  if (Object.hasOwn(struct, name)) return { value: struct[name] };
  const lower = name.toLowerCase();
  const found = Object.keys(struct).find((one) => one.toLowerCase() === lower);
  return found === undefined ? undefined : { value: struct[found] };
}

/** Names a value's type for an error message, as Go would for the same value. */
export function typeName(value: Value): string {
  if (value === undefined || value === null) return "nil";
  if (isList(value)) return "list";
  if (isMap(value)) return "map";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float64";
  if (typeof value === "boolean") return "bool";
  return typeof value === "string" ? "string" : "struct";
}

/** Converts parsed JSON with known member names: objects become structs. */
export function structOf(json: unknown): Value {
  return fromJson(json, structOf, (members) => Object.fromEntries(members));
}

/** Converts parsed JSON with user-defined names (labels, annotations): objects become maps, sorted like in Go. */
export function mapOf(json: unknown): Value {
  return fromJson(json, mapOf, (members) => new Map(members.toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

function fromJson(
  json: unknown,
  convert: (member: unknown) => Value,
  collect: (members: (readonly [string, Value])[]) => Value,
): Value {
  if (json === undefined || json === null || typeof json === "string" || typeof json === "number") return json;
  if (typeof json === "boolean") return json;
  if (Array.isArray(json)) return json.map((item: unknown) => convert(item));
  if (typeof json !== "object") return undefined;
  return collect(
    Object.entries(json).flatMap(([name, member]) => (member === undefined ? [] : [[name, convert(member)]])),
  );
}

/** Writes a value as Go's encoder does in docker's `json`: no escapes for HTML, map keys sorted. */
export function toJson(value: Value): string {
  return JSON.stringify(plain(value) ?? null);
}

function plain(value: Value): unknown {
  if (isList(value)) return value.map(plain);
  if (isMap(value)) return Object.fromEntries([...value].map(([name, member]) => [name, plain(member)]));
  if (isStruct(value)) return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
  return value;
}
