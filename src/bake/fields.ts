import { BuildError } from "../../lib/core/errors.ts";
import { isList, isMap, mapOf, toBool, toText, typeName, type Value } from "./hcl/value.ts";
import { normalizeEntry, uniqueEntries, type EntryKind } from "./entries.ts";

/** A kind of attribute of targets: `texts` is a list, `members` an object of texts, `entries` a list of attribute sets. */
export type FieldKind = "text" | "texts" | "bool" | "members" | EntryKind;

/** An attribute of targets. `merge`: what an inherited value becomes; `unique`: doubles and empty texts are left out. */
export interface Field {
  readonly name: string;
  readonly kind: FieldKind;
  readonly merge: "replace" | "append";
  /** Name in `--set`, where it is another one. */
  readonly override?: string;
}

/** The attributes in the order of `--print`. */
export const FIELDS: readonly Field[] = [
  { name: "description", kind: "text", merge: "replace" },
  { name: "annotations", kind: "texts", merge: "append" },
  { name: "attest", kind: "attest", merge: "append" },
  { name: "context", kind: "text", merge: "replace" },
  { name: "contexts", kind: "members", merge: "append" },
  { name: "dockerfile", kind: "text", merge: "replace" },
  { name: "dockerfile-inline", kind: "text", merge: "replace" },
  { name: "args", kind: "members", merge: "append" },
  { name: "labels", kind: "members", merge: "append" },
  { name: "tags", kind: "texts", merge: "replace" },
  { name: "cache-from", kind: "cache", merge: "append" },
  { name: "cache-to", kind: "cache", merge: "replace" },
  { name: "target", kind: "text", merge: "replace" },
  { name: "secret", kind: "secret", merge: "append", override: "secrets" },
  { name: "ssh", kind: "ssh", merge: "append" },
  { name: "platforms", kind: "texts", merge: "replace", override: "platform" },
  { name: "output", kind: "output", merge: "replace" },
  { name: "pull", kind: "bool", merge: "replace" },
  { name: "no-cache", kind: "bool", merge: "replace" },
  { name: "network", kind: "text", merge: "replace" },
  { name: "no-cache-filter", kind: "texts", merge: "append" },
  { name: "shm-size", kind: "text", merge: "replace" },
  { name: "ulimits", kind: "texts", merge: "append" },
  { name: "call", kind: "text", merge: "replace" },
  { name: "entitlements", kind: "texts", merge: "append" },
  { name: "extra-hosts", kind: "members", merge: "append" },
];

const BY_NAME = new Map(FIELDS.map((field) => [field.name, field]));

/** Finds an attribute by its name in files. */
export function fieldOf(name: string): Field | undefined {
  return BY_NAME.get(name);
}

/**
 * Converts a value to what its attribute holds; `undefined` for null, which counts as not given.
 * @throws {BuildError} `bake/definition`; the caller adds the place
 */
export function fieldValue(field: Field, value: Value): Value | undefined {
  if (value === null) return undefined;
  switch (field.kind) {
    case "text":
      return toText(value) ?? refuse(field, value, "a text");
    case "bool":
      return toBool(value) ?? refuse(field, value, "true or false");
    case "texts":
      if (!isList(value)) return refuse(field, value, "a list of texts");
      return value.map((item) => toText(item) ?? refuse(field, item, "a list of texts"));
    case "members":
      if (!isMap(value)) return refuse(field, value, "an object of texts");
      return mapOf(
        [...value].map(
          ([key, item]) =>
            [key, item === null ? null : (toText(item) ?? refuse(field, item, "an object of texts"))] as const,
        ),
      );
    default: {
      if (!isList(value)) return refuse(field, value, "a list");
      const kind = field.kind;
      return value.flatMap((item) => (item === "" || item === null ? [] : [normalizeEntry(kind, item)]));
    }
  }
}

function refuse(field: Field, value: Value, wanted: string): never {
  throw new BuildError("bake/definition", `Cannot use a ${typeName(value)} for ${field.name}: it is ${wanted}`);
}

/** Puts a value over an inherited one. */
export function mergeField(field: Field, before: Value | undefined, value: Value): Value {
  if (before === undefined) return value;
  if (isMap(before) && isMap(value)) return mapOf([...before, ...[...value].filter(([, item]) => item !== null)]);
  if (field.merge === "replace" || !isList(before) || !isList(value)) return value;
  return [...before, ...value];
}

/** Leaves out doubles, empty texts and members that are null; `undefined` where nothing remains. */
export function tidyField(field: Field, value: Value): Value | undefined {
  if (isMap(value)) {
    const members = [...value].filter(([, item]) => item !== null && (field.name !== "contexts" || item !== ""));
    return members.length === 0 ? undefined : mapOf(members);
  }
  if (!isList(value)) return value;
  const items =
    field.kind === "texts" ? [...new Set(value)].filter((item) => item !== "") : uniqueEntries(field.kind, value);
  return items.length === 0 ? undefined : items;
}
