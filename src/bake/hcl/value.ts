/** A value of the language. `null` is one of its values: an attribute that counts as not given. Maps have their keys in order. */
export type Value = null | boolean | number | string | readonly Value[] | ValueMap;

export type ValueMap = ReadonlyMap<string, Value>;

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

export function isMap(value: Value): value is ValueMap {
  return value instanceof Map;
}

/** Makes a map; the language goes through maps by their keys, sorted by code unit. */
export function mapOf(entries: Iterable<readonly [string, Value]>): ValueMap {
  return new Map([...new Map(entries)].toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** Names a value's type for messages. */
export function typeName(value: Value): string {
  if (value === null) return "null";
  if (isList(value)) return "list";
  return isMap(value) ? "object" : value === true || value === false ? "bool" : typeof value;
}

/** Writes a number as the language does: never with an exponent. */
export function numberText(value: number): string {
  const text = String(value);
  const [, sign = "", whole = "", fraction = "", exponentText] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(text) ?? [];
  if (exponentText === undefined) return value === 0 ? "0" : text;
  const exponent = Number(exponentText);
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${whole}${fraction}`;
  return sign + whole + fraction.padEnd(exponent, "0");
}

/** Converts a value to a text; `undefined` when it is no text, number or bool. */
export function toText(value: Value): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number") return numberText(value);
  return typeof value === "boolean" ? String(value) : undefined;
}

/** Converts a value to a number; `undefined` when it is none. */
export function toNumber(value: Value): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value !== "string" || !/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(value)) return undefined;
  const number = Number(value);
  return Number.isFinite(number) ? number : undefined;
}

/** Converts a value to a bool; `undefined` when it is none. */
export function toBool(value: Value): boolean | undefined {
  if (typeof value === "boolean") return value;
  if (value === "true" || value === "1") return true;
  return value === "false" || value === "0" ? false : undefined;
}

/** Compares two values with all that they hold. A number is not equal to its text. */
export function isEqual(a: Value, b: Value): boolean {
  if (isList(a)) return isList(b) && a.length === b.length && a.every((item, index) => isEqual(item, b[index] ?? null));
  if (!isMap(a)) return a === b;
  return (
    isMap(b) && a.size === b.size && [...a].every(([key, item]) => b.has(key) && isEqual(item, b.get(key) ?? null))
  );
}

/** Writes a value as JSON, with `<`, `>` and `&` escaped as Go does. */
export function toJson(value: Value): string {
  return jsonOf(value).replaceAll(
    /[<>&\u2028\u2029]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function jsonOf(value: Value): string {
  if (isList(value)) return `[${value.map(jsonOf).join(",")}]`;
  if (typeof value === "number") return numberText(value);
  if (!isMap(value)) return JSON.stringify(value);
  return `{${[...value].map(([key, item]) => `${JSON.stringify(key)}:${jsonOf(item)}`).join(",")}}`;
}

/** Makes a value of parsed JSON. */
export function fromJson(json: unknown): Value {
  if (json === null || typeof json === "boolean" || typeof json === "number" || typeof json === "string") return json;
  if (Array.isArray(json)) return json.map(fromJson);
  if (typeof json === "object") return mapOf(Object.entries(json).map(([key, item]) => [key, fromJson(item)] as const));
  throw new Error(`JSON with a ${typeof json}`);
}
