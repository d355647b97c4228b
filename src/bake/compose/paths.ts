import { posix } from "node:path";
import { isMap, isList, mapOf, toText, type Value, type ValueMap } from "../hcl/value.ts";

/** Moves the local paths of a compose file below a prefix: contexts, named contexts, files of secrets and of ssh. */
export function rebased(file: ValueMap, prefix: string): ValueMap {
  if (prefix === "" || prefix === ".") return file;
  const moved = (value: Value): Value => movedPath(value, prefix);
  const inEach = (value: Value, change: (one: ValueMap) => ValueMap): Value =>
    isMap(value) ? mapOf([...value].map(([name, one]) => [name, isMap(one) ? change(one) : one] as const)) : value;
  const services = inEach(file.get("services") ?? null, (service) =>
    changed(service, "build", (build) => movedBuild(build, moved)),
  );
  const secrets = inEach(file.get("secrets") ?? null, (secret) => changed(secret, "file", moved));
  return mapOf([...file, ["services", services], ...(file.has("secrets") ? [["secrets", secrets] as const] : [])]);
}

function changed(map: ValueMap, key: string, change: (value: Value) => Value): ValueMap {
  return map.has(key) ? mapOf([...map, [key, change(map.get(key) ?? null)]]) : map;
}

function movedBuild(build: Value, moved: (value: Value) => Value): Value {
  if (!isMap(build)) return moved(build);
  // Without a context it is the file's own directory.
  const context = moved(build.get("context") ?? ".");
  const withContext = mapOf([...build, ["context", context]]);
  return changed(
    changed(withContext, "additional_contexts", (value) => movedValues(value, moved)),
    "ssh",
    (value) => movedValues(value, moved),
  );
}

/** Moves the values of `{ name: path }` or `[name=path]`. */
function movedValues(value: Value, moved: (value: Value) => Value): Value {
  if (isMap(value)) return mapOf([...value].map(([name, one]) => [name, moved(one)] as const));
  if (!isList(value)) return value;
  return value.map((one) => {
    const text = toText(one) ?? "";
    const equals = text.indexOf("=");
    return equals === -1 ? one : `${text.slice(0, equals)}=${toText(moved(text.slice(equals + 1))) ?? ""}`;
  });
}

function movedPath(value: Value, prefix: string): Value {
  if (typeof value !== "string" || value === "" || /^(?:\/|~|[a-z][a-z+.-]*:|git@|github\.com\/)/.test(value))
    return value;
  return posix.join(prefix, value);
}
