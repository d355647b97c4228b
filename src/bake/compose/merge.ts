import { isList, isMap, mapOf, toText, type Value, type ValueMap } from "../hcl/value.ts";

/** Members that are an object or a list of `name=value`, and are merged by name. */
const BY_NAME: ReadonlySet<string> = new Set([
  "additional_contexts",
  "args",
  "environment",
  "extra_hosts",
  "labels",
  "ssh",
]);

/** Puts a service over the one that it extends: objects by member, lists one after the other, anything else replaced. */
export function mergeService(base: Value, own: Value): Value {
  return merged(base, own, "");
}

function merged(base: Value, own: Value, key: string): Value {
  if (own === null) return base;
  const [before, after] = [formOf(base, key), formOf(own, key)];
  if (isMap(before) && isMap(after)) {
    const members = [...after].map(
      ([name, value]) => [name, before.has(name) ? merged(before.get(name) ?? null, value, name) : value] as const,
    );
    return mapOf([...before, ...members]);
  }
  return isList(before) && isList(after) ? [...before, ...after] : after;
}

/** Writes the short forms as objects. */
function formOf(value: Value, key: string): Value {
  if (key === "build" && typeof value === "string") return mapOf([["context", value]]);
  return BY_NAME.has(key) && isList(value) ? byName(value) : value;
}

function byName(items: readonly Value[]): ValueMap {
  return mapOf(
    items.map((item) => {
      const [, name = "", value] = /^([^=:]+)(?:[=:]([\s\S]*))?$/.exec(toText(item) ?? "") ?? [];
      return [name, value ?? null] as const;
    }),
  );
}
