import { type Value, isList, isMap, isStruct } from "./value.ts";

/** Writes a value as Go's `%v` does. */
export function goText(value: Value): string {
  if (value === undefined || value === null) return "<nil>";
  if (isList(value)) return `[${value.map(goText).join(" ")}]`;
  if (isMap(value)) return `map[${[...value].map(([name, member]) => `${name}:${goText(member)}`).join(" ")}]`;
  if (isStruct(value)) return `{${Object.values(value).map(goText).join(" ")}}`;
  return String(value);
}

/** Joins values as Go's `print` does: a blank stands between two that are not both strings. */
export function printAll(values: readonly Value[]): string {
  let text = "";
  for (const [index, value] of values.entries()) {
    const needsBlank = index > 0 && typeof value !== "string" && typeof values[index - 1] !== "string";
    text += (needsBlank ? " " : "") + goText(value);
  }
  return text;
}

/** Joins values as Go's `println` does: a blank between all, and an end of line. */
export function printLine(values: readonly Value[]): string {
  return `${values.map(goText).join(" ")}\n`;
}

/** Quotes a text as Go's `%q` does. */
export function goQuote(text: string): string {
  return JSON.stringify(text).replaceAll(/\\u00([01][\da-f])/g, String.raw`\x$1`);
}
