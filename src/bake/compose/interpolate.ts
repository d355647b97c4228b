import { BuildError } from "../../../lib/core/errors.ts";

/** Looks up a variable of the environment or of `.env`. */
export type Lookup = (name: string) => string | undefined;

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;

/**
 * Replaces `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}` and `${NAME:+other}`; `$$` is a dollar.
 * @throws {BuildError} `bake/definition` for a required variable without a value, `bake/syntax` for another form
 */
export function interpolate(text: string, lookup: Lookup): string {
  return replaced(text, lookup, 0);
}

/** Defaults inside each other beyond this are an attack. */
const MAX_DEPTH = 100;

function replaced(text: string, lookup: Lookup, depth: number): string {
  if (depth > MAX_DEPTH) throw malformed(text, "its defaults are too deep inside each other");
  let result = "";
  for (let at = 0; at < text.length;) {
    const dollar = text.indexOf("$", at);
    if (dollar === -1) return result + text.slice(at);
    result += text.slice(at, dollar);
    const { value, end } = variableAt(text, dollar, { lookup, depth });
    result += value;
    at = end;
  }
  return result;
}

interface Level {
  readonly lookup: Lookup;
  readonly depth: number;
}

function variableAt(text: string, dollar: number, level: Level): { readonly value: string; readonly end: number } {
  const { lookup } = level;
  if (text[dollar + 1] === "$") return { value: "$", end: dollar + 2 };
  const isBraced = text[dollar + 1] === "{";
  NAME.lastIndex = dollar + (isBraced ? 2 : 1);
  const name = NAME.exec(text)?.[0];
  if (name === undefined && !isBraced) return { value: "$", end: dollar + 1 };
  if (name === undefined) throw malformed(text);
  if (!isBraced) return { value: lookup(name) ?? "", end: NAME.lastIndex };
  const end = closingBrace(text, dollar + 2);
  const [, operator = "", rest = ""] = /^(:?[-?+])?([\s\S]*)$/.exec(text.slice(dollar + 2 + name.length, end)) ?? [];
  if (operator === "" && rest !== "") throw malformed(text);
  return { value: operated(name, operator, rest, level), end: end + 1 };
}

function closingBrace(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === "{" && text[at - 1] === "$") depth += 1;
    else if (text[at] === "}") depth -= 1;
    if (depth === 0) return at;
  }
  throw malformed(text);
}

function operated(name: string, operator: string, rest: string, { lookup, depth }: Level): string {
  const inner = (): string => replaced(rest, lookup, depth + 1);
  const value = lookup(name);
  const isGiven = value !== undefined && !(operator.startsWith(":") && value === "");
  switch (operator.at(-1)) {
    case "-":
      return isGiven ? value : inner();
    case "+":
      return isGiven ? inner() : "";
    case "?":
      if (isGiven) return value;
      throw new BuildError("bake/definition", `required variable ${name} is missing a value: ${inner()}`);
    default:
      return value ?? "";
  }
}

function malformed(text: string, why = "it is no ${NAME}"): BuildError {
  const shown = text.length > 100 ? `${text.slice(0, 100)}...` : text;
  return new BuildError("bake/syntax", `Cannot read ${JSON.stringify(shown)}: ${why}`, {
    hint: "a dollar itself is $$",
  });
}

/** Reads several `.env` files: a later one knows the values of the earlier ones, and wins over them. */
export function parseDotenvs(texts: readonly string[], outer: Lookup): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const text of texts)
    for (const [name, value] of parseDotenv(text, (wanted) => outer(wanted) ?? values.get(wanted)))
      values.set(name, value);
  return values;
}

/** Reads the lines of an `.env` file: `NAME=value`, quoted or not, `export` in front, comments. */
function parseDotenv(text: string, outer: Lookup): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  const lookup = (name: string): string | undefined => outer(name) ?? values.get(name);
  const line = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*[=:][ \t]*(?:'([^']*)'|"((?:[^"\\]|\\.)*)"|([^\n]*))/gm;
  for (const [, name = "", single, double, plain = ""] of text.replaceAll("\r\n", "\n").matchAll(line)) {
    if (single !== undefined) values.set(name, single);
    else if (double !== undefined)
      values.set(name, interpolate(double.replaceAll("\\n", "\n").replaceAll(/\\(["\\])/g, "$1"), lookup));
    else values.set(name, interpolate(plain.replace(/(?:^|[ \t])#.*$/, "").trim(), lookup));
  }
  return values;
}
