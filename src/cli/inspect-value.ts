import { isRecord } from "../../lib/core/json.ts";
import { type Struct, type Value, mapOf, structOf } from "./template/value.ts";

/** Maps of a container's configuration with user-defined keys, and their values in Go for an image without them. */
const MAPS = ["Labels", "ExposedPorts", "Volumes"];
const LISTS = ["Env", "Cmd", "Entrypoint", "OnBuild", "Shell"];
const TEXTS = ["User", "WorkingDir", "StopSignal"];

/** Makes the template value of `kiln inspect`: docker's fields exist also where the image leaves them out. */
export function templateValue(summary: object): Value {
  const members = Object.entries(summary).map(([name, value]): [string, Value] => [
    name,
    name === "Config" ? configValue(value) : (structOf(value) ?? ""),
  ]);
  const absent: Struct = { Created: "", Variant: "", OsVersion: "" };
  return { ...absent, ...Object.fromEntries(members) };
}

function configValue(config: unknown): Value {
  const given = isRecord(config) ? config : {};
  const known: [string, Value][] = [
    ...TEXTS.map((name): [string, Value] => [name, ""]),
    ...LISTS.map((name): [string, Value] => [name, []]),
    ["Healthcheck", null],
    ["ArgsEscaped", false],
  ];
  const set = Object.entries(given)
    .filter(([name]) => !MAPS.includes(name))
    .map(([name, value]): [string, Value] => [name, structOf(value)]);
  const maps = MAPS.map((name): [string, Value] => [name, mapOf(given[name] ?? {})]);
  return Object.fromEntries([...known, ...set, ...maps]);
}
