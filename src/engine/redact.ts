import type { Json } from "../../lib/core/json.ts";
import { namesSecret } from "../../frontend/convert/metadata.ts";
import { withoutCredentials } from "../../lib/core/credentials.ts";

const HIDDEN = "***";
/** Minimum length: shorter values occur by chance in other words; they are only hidden beside their name. */
const LEAST_LETTERS = 4;

/**
 * Makes a function that removes secrets from a document: values of variables with secret-looking names, wherever they
 * occur, and credentials in URLs.
 * @param variables names and values, of which only some are secret
 */
export function redactor(variables: readonly (readonly [name: string, value: string])[]): (document: Json) => Json {
  const secret = variables.filter(([name, value]) => value !== "" && namesSecret(name));
  const names = new Set(secret.map(([name]) => name));
  // Longer ones first: a value may be part of another.
  const values = [...new Set(secret.map(([, value]) => value))]
    .filter((value) => value.length >= LEAST_LETTERS)
    .toSorted((a, b) => b.length - a.length);
  const text = (given: string): string => {
    const [name = "", ...rest] = given.split("=");
    if (rest.length > 0 && names.has(name)) return `${name}=${HIDDEN}`;
    return withoutCredentials(values.reduce((before, value) => before.replaceAll(value, HIDDEN), given));
  };
  const clean = (value: Json | undefined, key: string): Json => {
    if (value === undefined || value === null || typeof value === "number" || typeof value === "boolean") {
      return value ?? null;
    }
    if (typeof value === "string") return names.has(key.replace(/^build-arg:/, "")) ? HIDDEN : text(value);
    if (Array.isArray(value)) return value.map((item: Json) => clean(item, ""));
    return Object.fromEntries(
      Object.entries(value).flatMap(([name, member]) => (member === undefined ? [] : [[name, clean(member, name)]])),
    );
  };
  return (document) => clean(document, "");
}
