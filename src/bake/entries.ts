import { CsvError, csvFields } from "../../lib/core/csv.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { isEqual, isList, isMap, mapOf, toBool, toText, typeName, type Value, type ValueMap } from "./hcl/value.ts";

/** Attributes whose elements are texts like `type=registry,ref=NAME`, or objects with the same keys. */
export type EntryKind = "attest" | "cache" | "output" | "secret" | "ssh";

/**
 * Makes the object form of an element, as `--print` shows it.
 * @throws {BuildError} `bake/definition`
 */
export function normalizeEntry(kind: EntryKind, value: Value): ValueMap {
  if (isMap(value))
    return mapOf([...value].flatMap(([key, item]) => (item === null ? [] : [[key, member(kind, item, key)] as const])));
  if (typeof value !== "string") throw new BuildError("bake/definition", `Cannot use a ${typeName(value)} as ${kind}`);
  if (kind === "ssh") return sshEntry(value);
  if (kind === "output" && !value.includes("=")) {
    return mapOf([
      ["type", value === "-" ? "tar" : "local"],
      ["dest", value],
    ]);
  }
  if (kind === "cache" && !value.includes("=")) {
    return mapOf([
      ["type", "registry"],
      ["ref", value],
    ]);
  }
  const members = new Map(pairs(kind, value));
  if (kind === "secret") return secretEntry(members);
  if (!members.has("type"))
    throw new BuildError("bake/definition", `Cannot use ${JSON.stringify(value)} as ${kind}: it has no type`);
  return mapOf([...members].map(([key, item]) => [key, member(kind, item, key)] as const));
}

function member(kind: EntryKind, value: Value, key: string): Value {
  if (kind === "attest" && key === "disabled") return toBool(value) ?? value;
  if (isList(value)) return value.map((item) => toText(item) ?? "");
  const text = toText(value);
  if (text === undefined) throw new BuildError("bake/definition", `Cannot use a ${typeName(value)} in ${kind}`);
  return text;
}

function sshEntry(text: string): ValueMap {
  const equals = text.indexOf("=");
  if (equals === -1) return mapOf([["id", text]]);
  return mapOf([
    ["id", text.slice(0, equals)],
    ["paths", text.slice(equals + 1).split(",")],
  ]);
}

/** Resolves the type of a secret into the key of its file or its variable. */
function secretEntry(members: ReadonlyMap<string, string>): ValueMap {
  const type = members.get("type");
  const source = members.get("src") ?? members.get("source");
  const variable = members.get("env") ?? (type === "env" ? source : undefined);
  return mapOf([
    ...(members.has("id") ? [["id", members.get("id") ?? ""] as const] : []),
    ...(variable === undefined ? [] : [["env", variable] as const]),
    ...(source === undefined || (type === "env" && variable === source) ? [] : [["src", source] as const]),
  ]);
}

function pairs(kind: EntryKind, text: string): [string, string][] {
  return fields(kind, text).map((field) => {
    const equals = field.indexOf("=");
    if (equals !== -1) return [field.slice(0, equals).trim().toLowerCase(), field.slice(equals + 1)];
    throw new BuildError(
      "bake/definition",
      `Cannot use ${JSON.stringify(text)} as ${kind}: ${JSON.stringify(field)} is not a key=value pair`,
    );
  });
}

function fields(kind: EntryKind, text: string): readonly string[] {
  try {
    return csvFields(text);
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new BuildError("bake/definition", `Cannot use ${JSON.stringify(text)} as ${kind}: ${error.message}`);
  }
}

/** Leaves out equal elements; of attestations and agents, the last with each type or id counts. */
export function uniqueEntries(kind: string, entries: readonly Value[]): Value[] {
  if (kind !== "attest" && kind !== "ssh") {
    return entries.filter((entry, index) => entries.findIndex((other) => isEqual(other, entry)) === index);
  }
  const key = kind === "attest" ? "type" : "id";
  const last = new Map<Value, Value>();
  for (const entry of entries) if (isMap(entry)) last.set(entry.get(key) ?? null, entry);
  return [...last.values()];
}

/** Writes an element as the text that `kiln build`'s flags take. */
export function entryText(kind: EntryKind, entry: Value): string {
  if (!isMap(entry)) return toText(entry) ?? "";
  if (kind === "ssh") {
    const paths = entry.get("paths") ?? null;
    const id = toText(entry.get("id") ?? null) ?? "default";
    return isList(paths) && paths.length > 0 ? `${id}=${paths.map((path) => toText(path) ?? "").join(",")}` : id;
  }
  return [...entry].map(([key, value]) => csvField(`${key}=${toText(value) ?? ""}`)).join(",");
}

function csvField(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
