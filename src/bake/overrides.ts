import { BuildError } from "../../lib/core/errors.ts";
import { normalizeEntry } from "./entries.ts";
import type { Target } from "./definition.ts";
import { FIELDS, type Field, fieldValue, mergeField } from "./fields.ts";
import { goMatch } from "./go-match.ts";
import { isList, isMap, mapOf, toBool, toText, type Value, type ValueMap } from "./hcl/value.ts";

/** One attribute of `--set`, all its values. */
export interface Override {
  readonly key: string;
  /** The name of a member: of `args`, `labels`, `contexts`, `extra-hosts`. */
  readonly member: string | undefined;
  readonly values: readonly string[];
  readonly appends: boolean;
}

const BY_KEY: ReadonlyMap<string, Field> = new Map(FIELDS.map((field) => [field.override ?? field.name, field]));

/**
 * Reads `--set pattern.key[.member][+]=value`, by target.
 * @throws {BuildError} `cli/usage`
 */
export function readOverrides(
  sets: readonly string[],
  names: readonly string[],
): ReadonlyMap<string, readonly Override[]> {
  const byTarget = new Map<string, Map<string, Override>>();
  for (const text of sets) {
    const equals = text.indexOf("=");
    const written = equals === -1 ? text : text.slice(0, equals);
    const value = equals === -1 ? undefined : text.slice(equals + 1);
    const appends = written.endsWith("+");
    const [pattern = "", key = "", ...rest] = (appends ? written.slice(0, -1) : written).split(".");
    const member = rest.length === 0 ? undefined : rest.join(".");
    if (key === "") throw malformed(text, "it is target.key=value");
    checkKey(text, key, member);
    if (value === undefined) throw malformed(text, "it has no value");
    const found = names.includes(pattern) ? [pattern] : names.filter((name) => goMatch(pattern, name));
    if (found.length === 0) throw new BuildError("bake/definition", `could not find any target matching '${pattern}'`);
    for (const name of found) {
      const before = byTarget.get(name) ?? new Map<string, Override>();
      const slot = `${key}.${member ?? ""}`;
      before.set(slot, { key, member, appends, values: [...(before.get(slot)?.values ?? []), value] });
      byTarget.set(name, before);
    }
  }
  return new Map([...byTarget].map(([name, overrides]) => [name, [...overrides.values()]]));
}

function checkKey(text: string, key: string, member: string | undefined): void {
  if (key === "push" || key === "load") return;
  const field = BY_KEY.get(key);
  if (field === undefined || key === "description") {
    throw malformed(text, `unknown key: ${key}`, `keys are ${[...BY_KEY.keys()].join(", ")}, push, load`);
  }
  if (field.kind === "members" && member === undefined)
    throw malformed(text, `${key} requires a name: ${key}.NAME=VALUE`);
}

function malformed(text: string, why: string, hint?: string): BuildError {
  return new BuildError("cli/usage", `Cannot use --set ${JSON.stringify(text)}: ${why}`, { hint });
}

/** Puts `--set` over a target. */
export function overrideTarget(target: Target, overrides: readonly Override[]): Target {
  const fields = new Map(target.fields);
  for (const override of overrides) {
    const { key, member, values, appends } = override;
    if (key === "push" || key === "load") {
      fields.set("output", outputsWith(fields.get("output") ?? [], key, flag(override)));
      continue;
    }
    const field = BY_KEY.get(key);
    if (field === undefined) throw new Error(`An unchecked key: ${key}`);
    const value = overrideValue(field, member, values);
    const keeps = appends || field.kind === "members" || ["entitlements", "annotations", "attest"].includes(key);
    fields.set(field.name, keeps ? merged(field, fields.get(field.name), value) : value);
  }
  return { ...target, fields };
}

function merged(field: Field, before: Value | undefined, value: Value): Value {
  return mergeField({ ...field, merge: "append" }, before, value);
}

function overrideValue(field: Field, member: string | undefined, values: readonly string[]): Value {
  const last = values.at(-1) ?? "";
  if (field.kind === "members") return mapOf([[member ?? "", last]]);
  if (field.kind === "text") return last;
  if (field.kind === "bool") return flag({ key: field.name, values });
  return fieldValue(field, values) ?? [];
}

function flag({ key, values }: Pick<Override, "key" | "values">): boolean {
  const text = values.at(-1) ?? "";
  const bool = toBool(text.toLowerCase());
  if (bool !== undefined) return bool;
  throw new BuildError("cli/usage", `invalid value ${text} for boolean key ${key}`);
}

/** Adds a push or a load to outputs, or takes the push away. */
function outputsWith(outputs: Value, what: "push" | "load", isWanted: boolean): Value {
  const entries = isList(outputs) ? outputs.filter(isMap) : [];
  if (what === "load") return isWanted ? loaded(entries) : entries;
  if (!isWanted) {
    return entries
      .filter((entry) => entry.get("type") !== "registry")
      .map((entry) => (entry.get("type") === "image" ? mapOf([...entry, ["push", "false"]]) : entry));
  }
  const pushed = entries.map((entry) => (entry.get("type") === "image" ? mapOf([...entry, ["push", "true"]]) : entry));
  if (entries.some((entry) => entry.get("type") !== "docker")) return pushed;
  return [...pushed, normalizeEntry("output", "type=image,push=true")];
}

function loaded(entries: readonly ValueMap[]): Value {
  const keeps = (entry: ValueMap): boolean =>
    ["image", "registry", "oci"].includes(toText(entry.get("type") ?? null) ?? "");
  const isLoaded = entries.some((entry) => (entry.get("type") === "docker" ? !entry.has("dest") : !keeps(entry)));
  return isLoaded ? entries : [...entries, normalizeEntry("output", "type=docker")];
}
