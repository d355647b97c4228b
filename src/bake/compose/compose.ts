import { posix } from "node:path";
import { BuildError } from "../../../lib/core/errors.ts";
import type { SourceText } from "../../../lib/core/span.ts";
import { type Definition, mergeDefinitions, type Target } from "../definition.ts";
import { type FieldKind, fieldOf, fieldValue, mergeField } from "../fields.ts";
import { isList, isMap, mapOf, toText, type Value, type ValueMap } from "../hcl/value.ts";
import type { Lookup } from "./interpolate.ts";
import { type ComposeHost, readProject } from "./project.ts";

/**
 * Makes targets of the services with a build section; the group `default` has those whose profiles count. Later files add
 * to earlier ones.
 * @throws {BuildError} `bake/syntax`, `bake/definition`
 */
export function readCompose(sources: readonly SourceText[], host: ComposeHost): Definition {
  const files = readProject(sources, host);
  const secrets = mapOf(files.flatMap((file) => [...mapIn(file, "secrets")]));
  const merged = mergeDefinitions(
    files.map((file) => ({ groups: [], targets: servicesOf(file, secrets, host.lookup), variables: [] })),
  );
  const targets = merged.targets.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const resting = new Set(files.flatMap((file) => restingServices(file, host.profiles)));
  const names = targets.map(({ name }) => name).filter((name) => !resting.has(name));
  return {
    groups: [{ name: "default", description: undefined, targets: names }],
    targets,
    variables: [],
  };
}

/** Lists the services that are only for profiles that do not count. */
function restingServices(file: ValueMap, counting: ComposeHost["profiles"]): string[] {
  if (counting === undefined || counting.includes("*")) return [];
  return [...mapIn(file, "services")].flatMap(([name, service]) => {
    const own = isMap(service) ? (listOf(service.get("profiles")) ?? []) : [];
    return own.length === 0 || own.some((one) => counting.includes(toText(one) ?? "")) ? [] : [targetName(name)];
  });
}

function targetName(service: string): string {
  return service.replaceAll(".", "_");
}

function servicesOf(file: ValueMap, secrets: ValueMap, lookup: Lookup): Target[] {
  return [...mapIn(file, "services")].flatMap(([name, service]) => {
    if (!isMap(service)) return [];
    const build = service.get("build") ?? null;
    if (build === null) return [];
    const section = isMap(build) ? build : mapOf([["context", build]]);
    return [targetOf(name, section, { service, secrets, lookup })];
  });
}

interface Around {
  readonly service: ValueMap;
  readonly secrets: ValueMap;
  readonly lookup: Lookup;
}

function targetOf(name: string, build: ValueMap, { service, secrets, lookup }: Around): Target {
  const fields = new Map<string, Value>();
  const set = (field: string, value: Value | undefined): void => {
    const known = fieldOf(field);
    const made = known === undefined || value === undefined ? undefined : fieldValue(known, value);
    if (made !== undefined) fields.set(field, made);
  };
  const own = (key: string): Value | undefined => build.get(key);
  const environment = pairs(service.get("environment"), () => undefined);
  const fromOutside = (key: string): string | undefined => toText(environment.get(key) ?? null) ?? lookup(key);
  set("context", cleaned(own("context")));
  set(
    "contexts",
    mapOf(
      [...pairs(own("additional_contexts"), () => undefined)].map(([key, value]) => [key, contextOf(value)] as const),
    ),
  );
  set("dockerfile", own("dockerfile"));
  set("dockerfile-inline", own("dockerfile_inline"));
  set("args", pairs(own("args"), fromOutside));
  set(
    "labels",
    pairs(own("labels"), () => ""),
  );
  const tags = own("tags");
  const image = service.get("image") ?? null;
  set("tags", listOf(tags));
  set("cache-from", listOf(own("cache_from")));
  set("cache-to", listOf(own("cache_to")));
  set("target", own("target"));
  set(
    "secret",
    listOf(own("secrets"))?.map((one) => secretOf(one, secrets)),
  );
  set("ssh", listOf(own("ssh")) ?? sshOf(own("ssh")));
  set("platforms", listOf(own("platforms")));
  for (const key of ["pull", "no_cache"]) if (own(key) === true) set(key.replace("_", "-"), true);
  if (own("privileged") === true) set("entitlements", ["security.insecure"]);
  set("network", own("network"));
  set("shm-size", sizeOf(own("shm_size")));
  set("ulimits", ulimitsOf(own("ulimits")));
  set(
    "extra-hosts",
    pairs(own("extra_hosts"), () => undefined),
  );
  extend(fields, build.get("x-bake") ?? null);
  // The image's name counts where nothing else names it.
  if (image !== null && (listOf(fields.get("tags")) ?? []).length === 0) set("tags", [image]);
  for (const [key, value] of fields)
    if ((isMap(value) && value.size === 0) || (isList(value) && value.length === 0)) fields.delete(key);
  return { name: targetName(name), inherits: [], fields };
}

/** Applies `x-bake`, which has attributes of targets under their own names. */
function extend(fields: Map<string, Value>, extension: Value): void {
  if (!isMap(extension)) return;
  for (const [name, value] of extension) {
    const field = fieldOf(name);
    if (field === undefined) continue;
    const made = fieldValue(field, isTextList(field.kind) && typeof value === "string" ? value.split(/\s+/) : value);
    if (made !== undefined) fields.set(name, mergeField({ ...field, merge: "append" }, fields.get(name), made));
  }
}

function isTextList(kind: FieldKind): boolean {
  return kind !== "text" && kind !== "bool" && kind !== "members";
}

function mapIn(map: ValueMap, key: string): ValueMap {
  const value = map.get(key) ?? null;
  return isMap(value) ? value : mapOf([]);
}

function listOf(value: Value | undefined): readonly Value[] | undefined {
  return value !== undefined && isList(value) ? value : undefined;
}

/** Reads `{ name: value }` or `[name=value, name]`; a name without a value takes it from `absent`, or is left out. */
function pairs(value: Value | undefined, absent: (name: string) => string | undefined): ValueMap {
  const entries: (readonly [string, Value])[] =
    value !== undefined && isMap(value)
      ? [...value]
      : (listOf(value) ?? []).map((item) => {
          const text = toText(item) ?? "";
          const [, name = text, given] = /^([^=:]+)(?:=|:(?=[^/]))([\s\S]*)$/.exec(text) ?? [];
          return [name, given ?? null] as const;
        });
  return mapOf(
    entries.flatMap(([name, given]) => {
      const text =
        given === null ? absent(name) : (toText(given) ?? (isList(given) ? given.map(toText).join(",") : ""));
      return text === undefined ? [] : [[name, text] as const];
    }),
  );
}

function contextOf(value: Value): Value {
  const text = toText(value) ?? "";
  const [, target] = /^(?:service|target):([\s\S]*)$/.exec(text) ?? [];
  return target === undefined ? (cleaned(text) ?? text) : `target:${target.replaceAll(".", "_")}`;
}

/** Shortens `./web` to `web`; a URL stays as it is. */
function cleaned(value: Value | undefined): Value | undefined {
  if (typeof value !== "string" || /^[a-z][a-z+.-]*:|^git@/.test(value) || value === "") return value;
  return posix.normalize(value).replace(/(?<=.)\/$/, "");
}

const UNITS = ["", "k", "m", "g", "t", "p"];

/** Writes a size as buildx prints it: `128mb` is `128MiB`. Other forms stay as they are, for the build to refuse. */
function sizeOf(value: Value | undefined): Value | undefined {
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(toText(value ?? null) ?? "") ?? [];
  if (amount === "") return value;
  let size = Number(amount) * 1024 ** UNITS.indexOf(unit.toLowerCase());
  let power = 0;
  for (; size >= 1024 && power < UNITS.length - 1; power += 1) size /= 1024;
  return `${Number(size.toPrecision(4))}${power === 0 ? "B" : `${UNITS[power]?.toUpperCase()}iB`}`;
}

function secretOf(value: Value, secrets: ValueMap): Value {
  const id = isMap(value) ? (value.get("source") ?? null) : value;
  const found = secrets.get(toText(id) ?? "") ?? null;
  if (!isMap(found)) return mapOf([["id", id]]);
  if (found.get("external") === true)
    throw new BuildError("bake/definition", `unsupported external secret ${toText(id)}`);
  return mapOf([
    ["id", id],
    ["env", found.get("environment") ?? null],
    ["src", cleaned(found.get("file")) ?? null],
  ]);
}

function sshOf(value: Value | undefined): readonly Value[] | undefined {
  if (value === undefined || !isMap(value)) return undefined;
  return [...value].map(([id, path]) => (path === null ? id : `${id}=${toText(path) ?? ""}`));
}

function ulimitsOf(value: Value | undefined): readonly Value[] {
  if (value === undefined || !isMap(value)) return [];
  return [...value].map(([name, limit]) => {
    const [soft, hard] = isMap(limit) ? [limit.get("soft") ?? null, limit.get("hard") ?? null] : [limit, limit];
    return `${name}=${toText(soft) ?? ""}:${toText(hard) ?? ""}`;
  });
}
