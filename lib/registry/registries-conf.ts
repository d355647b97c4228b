import { BuildError } from "../core/errors.ts";
import { isRecord } from "../core/json.ts";
import type { MirrorRoute, Repository } from "./registry.ts";

/** A rule of containers' registries.conf: for names that begin with `prefix`. */
export interface RegistryRule {
  /** File that has the rule. */
  readonly file: string;
  /** `host[:port][/path]`, or `*.example.com`. */
  readonly prefix: string;
  /** Replacement of the prefix; `undefined` to use the name as it is. */
  readonly location: string | undefined;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly RuleMirror[];
}

export interface RuleMirror {
  readonly location: string;
  readonly insecure: boolean;
  readonly serves: MirrorRoute["serves"];
}

/**
 * Reads a parsed registries.conf, version 2 or 1. Aliases of short names are rules for Docker Hub's names, which is what a short
 * name means to kiln.
 * @throws {BuildError} `registry/configuration`
 * @see https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md
 */
export function rulesIn(document: Readonly<Record<string, unknown>>, file: string): readonly RegistryRule[] {
  const read = new Reader(file);
  const registries = read.tables(document["registry"], "registry").map((table) => ruleIn(table, read));
  const aliases = Object.entries(read.table(document["aliases"], "aliases")).flatMap(([name, value]) => {
    const target = read.text(value, `aliases.${name}`) ?? "";
    const prefix = `docker.io/${name.includes("/") ? name : `library/${name}`}`;
    return target === "" || target === prefix ? [] : [plainRule(file, { prefix, location: target })];
  });
  const old = read.table(document["registries"], "registries");
  const listed = (key: string): readonly string[] =>
    read.texts(read.table(old[key], `registries.${key}`)["registries"], `registries.${key}`);
  return [
    ...registries,
    ...aliases,
    ...listed("insecure").map((prefix) => plainRule(file, { prefix, insecure: true })),
    ...listed("block").map((prefix) => plainRule(file, { prefix, blocked: true })),
  ];
}

function plainRule(file: string, changes: Partial<RegistryRule> & { readonly prefix: string }): RegistryRule {
  return { file, location: undefined, insecure: false, blocked: false, mirrors: [], ...changes };
}

function ruleIn(table: Readonly<Record<string, unknown>>, read: Reader): RegistryRule {
  const location = read.text(table["location"], "location") ?? "";
  const prefix = read.text(table["prefix"], "prefix") || location;
  if (prefix === "") throw read.bad("a [[registry]] has neither prefix nor location");
  const isWildcard = prefix.startsWith("*.");
  if (isWildcard && prefix.includes("/")) throw read.bad(`the prefix "${prefix}" has a path behind a wildcard`);
  if (location === "" && !isWildcard) throw read.bad(`the prefix "${prefix}" has no location`);
  const isByDigest = read.flag(table["mirror-by-digest-only"], "mirror-by-digest-only");
  return {
    file: read.file,
    prefix,
    location: location === "" || location === prefix ? undefined : location,
    insecure: read.flag(table["insecure"], "insecure"),
    blocked: read.flag(table["blocked"], "blocked"),
    mirrors: read.tables(table["mirror"], "mirror").map((mirror): RuleMirror => {
      const place = read.text(mirror["location"], "mirror.location") ?? "";
      if (place === "") throw read.bad(`a mirror of "${prefix}" has no location`);
      return {
        location: place.replace(/\/+$/, ""),
        insecure: read.flag(mirror["insecure"], "mirror.insecure"),
        serves: isByDigest ? "digests" : servesOf(read.text(mirror["pull-from-mirror"], "pull-from-mirror"), read),
      };
    }),
  };
}

function servesOf(text: string | undefined, read: Reader): MirrorRoute["serves"] {
  if (text === undefined || text === "" || text === "all") return "all";
  if (text === "digest-only") return "digests";
  if (text === "tag-only") return "tags";
  throw read.bad(`pull-from-mirror is ${JSON.stringify(text)}: it is all, digest-only or tag-only`);
}

/** Finds the rule with the longest prefix of a repository's name. */
export function ruleFor(rules: readonly RegistryRule[], repository: Repository): RegistryRule | undefined {
  const name = `${repository.registry}/${repository.repository}`;
  let best: RegistryRule | undefined;
  // Later files override earlier ones, so of equal prefixes the last one counts.
  for (const rule of rules) {
    if (matches(rule.prefix, name, repository.registry) && rule.prefix.length >= (best?.prefix.length ?? 0))
      best = rule;
  }
  return best;
}

function matches(prefix: string, name: string, registry: string): boolean {
  if (prefix.startsWith("*.")) return registry.replace(/:\d+$/, "").endsWith(prefix.slice(1));
  return name === prefix || name.startsWith(`${prefix}/`);
}

/** Puts a location in the place of a rule's prefix. */
export function relocated(rule: RegistryRule, location: string, { registry, repository }: Repository): Repository {
  const name = `${registry}/${repository}`;
  const rest = rule.prefix.startsWith("*.") ? repository : name.slice(rule.prefix.length).replace(/^\//, "");
  const slash = location.indexOf("/");
  const host = slash === -1 ? location : location.slice(0, slash);
  const path = slash === -1 ? "" : location.slice(slash + 1);
  return { registry: host, repository: [path, rest].filter((part) => part !== "").join("/") };
}

/** Reads members of a TOML document by type; the wrong type is an error that names file and member. */
class Reader {
  readonly file: string;

  constructor(file: string) {
    this.file = file;
  }

  bad(why: string): BuildError {
    return new BuildError("registry/configuration", `Cannot use "${this.file}": ${why}`, { hint: "repair the file" });
  }

  text(value: unknown, name: string): string | undefined {
    if (value === undefined || typeof value === "string") return value;
    throw this.bad(`${name} is not a text`);
  }

  flag(value: unknown, name: string): boolean {
    if (value === undefined || typeof value === "boolean") return value === true;
    throw this.bad(`${name} is neither true nor false`);
  }

  texts(value: unknown, name: string): readonly string[] {
    if (value === undefined) return [];
    if (Array.isArray(value) && value.every((item): item is string => typeof item === "string")) return value;
    throw this.bad(`${name} is not a list of texts`);
  }

  table(value: unknown, name: string): Readonly<Record<string, unknown>> {
    if (value === undefined) return {};
    if (isRecord(value)) return value;
    throw this.bad(`${name} is not a table`);
  }

  tables(value: unknown, name: string): readonly Readonly<Record<string, unknown>>[] {
    if (value === undefined) return [];
    if (Array.isArray(value) && value.every((item): item is Record<string, unknown> => isRecord(item))) return value;
    throw this.bad(`[[${name}]] is not a list of tables`);
  }
}
