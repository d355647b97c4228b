import { posix } from "node:path";
import { BuildError } from "../../lib/core/errors.ts";
import { goMatch } from "./go-match.ts";
import { didYouMean } from "../../lib/core/suggest.ts";
import { type Definition, type Group, mergeTargets, type Target, tidyTarget } from "./definition.ts";
import { isList, isMap, mapOf, toText, type Value } from "./hcl/value.ts";
import { type Override, overrideTarget, readOverrides } from "./overrides.ts";

/** Targets to build: final ones by name, and the groups that named them. */
export interface Plan {
  readonly targets: ReadonlyMap<string, Target>;
  readonly groups: ReadonlyMap<string, Group>;
  /** Targets that are built only because others use them as a context. */
  readonly linked: ReadonlySet<string>;
}

/**
 * Chooses the targets, lets them inherit, and applies `--set`.
 * @throws {BuildError} `bake/definition`
 */
export function makePlan(definition: Definition, names: readonly string[], sets: readonly string[]): Plan {
  const asked = [...new Set(names.flatMap((name) => matching(definition, name.replaceAll(".", "_"))))];
  const overrides = readOverrides(
    sets,
    definition.targets.map(({ name }) => name),
  );
  const resolver = new Resolver(definition, overrides);
  const targets = new Map<string, Target>();
  const groups = new Map<string, Group>();
  for (const name of asked) {
    const found = expand(definition, name, new Set());
    for (const target of found.targets) targets.set(target, resolver.target(target));
    for (const group of found.groups) groups.set(group.name, group);
  }
  const others = asked.filter((name) => name !== "default" || !groups.has("default"));
  const given = groups.get("default");
  const members = [...new Set([...(given?.targets ?? []), ...others])].toSorted(byCodeUnit);
  if (given !== undefined || others.length > 0)
    groups.set("default", { name: "default", description: given?.description, targets: members });
  const linked = new Set<string>();
  for (const name of [...targets.keys()]) link(name, { targets, linked, resolver, way: [] });
  return { targets, groups, linked };
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function matching({ groups, targets }: Definition, pattern: string): string[] {
  if (!/[*?[\]]/.test(pattern)) return [pattern];
  const found = [...groups, ...targets].map(({ name }) => name).filter((name) => goMatch(pattern, name));
  if (found.length === 0)
    throw new BuildError("bake/definition", `Cannot find a target that matches ${JSON.stringify(pattern)}`);
  return found;
}

/** Lists the targets of a group and of the groups in it. */
function expand(
  definition: Definition,
  name: string,
  seen: Set<string>,
): { readonly targets: string[]; readonly groups: Group[] } {
  const group = definition.groups.find((one) => one.name === name);
  if (group === undefined) return { targets: [name], groups: [] };
  if (seen.has(name)) return { targets: [], groups: [] };
  seen.add(name);
  const inner = group.targets.map((one) =>
    // A matrix's group may have the name of one of its targets.
    one === name ? { targets: [one], groups: [] } : expand(definition, one, seen),
  );
  return { targets: inner.flatMap((one) => one.targets), groups: [group, ...inner.flatMap((one) => one.groups)] };
}

/** Shortens a path: `./web/` is `web`. Only a local path of a definition from elsewhere needs its `cwd://`. */
function cleaned(context: string): string {
  const [, scheme = "", path = ""] = /^(cwd:\/\/)?([\s\S]*)$/.exec(context) ?? [];
  if (scheme === "" && /^[a-z][a-z+.-]*:\/\/|^git@/.test(context)) return context;
  return scheme + posix.normalize(path || ".").replace(/(?<=.)\/$/, "");
}

class Resolver {
  readonly #definition: Definition;
  readonly #overrides: ReadonlyMap<string, readonly Override[]>;

  constructor(definition: Definition, overrides: ReadonlyMap<string, readonly Override[]>) {
    this.#definition = definition;
    this.#overrides = overrides;
  }

  /** A target with everything it inherits, and the defaults for context and Dockerfile. */
  target(name: string): Target {
    const found = this.#inherited(name, new Set()) ?? { name, inherits: [], fields: new Map() };
    const fields = new Map<string, Value>(found.fields);
    fields.set("context", cleaned(toText(fields.get("context") ?? null) ?? "."));
    if ((fields.get("dockerfile") ?? "") === "") fields.set("dockerfile", "Dockerfile");
    return { name, inherits: [], fields };
  }

  #inherited(name: string, visited: Set<string>): Target | undefined {
    if (visited.has(name)) return undefined;
    visited.add(name);
    const own = this.#definition.targets.find((one) => one.name === name);
    if (own === undefined) {
      const names = [...this.#definition.targets, ...this.#definition.groups].map((one) => one.name);
      throw new BuildError("bake/definition", `failed to find target ${name}${didYouMean(name, names)}`, {
        hint: names.length === 0 ? undefined : `there are ${[...new Set(names)].toSorted(byCodeUnit).join(", ")}`,
      });
    }
    let base: Target = { name, inherits: [], fields: new Map() };
    for (const parent of own.inherits) {
      const inherited = this.#inherited(parent, visited);
      if (inherited !== undefined) base = mergeTargets(base, inherited);
    }
    visited.delete(name);
    const merged = mergeTargets(base, own);
    // A description says what this target is; those that inherit from it are other things.
    return tidyTarget(overrideTarget({ ...merged, name }, this.#overrides.get(name) ?? []));
  }
}

interface Linking {
  readonly targets: Map<string, Target>;
  readonly linked: Set<string>;
  readonly resolver: Resolver;
  readonly way: readonly string[];
}

/** Adds the targets that a target's contexts name, and takes over their entitlements. */
function link(name: string, linking: Linking): void {
  const { targets, linked, resolver, way } = linking;
  const target = targets.get(name);
  if (target === undefined) return;
  for (const other of linkedTargets(target)) {
    if (other === name) throw new BuildError("bake/definition", `target ${name} cannot link to itself`);
    if (way.includes(other)) throw new BuildError("bake/definition", `infinite loop from ${name} to ${other}`);
    if (!targets.has(other)) {
      const found = resolver.target(other);
      targets.set(other, {
        ...found,
        fields: new Map([...found.fields, ["output", [mapOf([["type", "cacheonly"]])]]]),
      });
      linked.add(other);
    }
    link(other, { ...linking, way: [...way, name] });
    checkPlatforms(target, targets.get(other) ?? target);
    const inherited = targets.get(other)?.fields.get("entitlements") ?? [];
    const before = targets.get(name)?.fields.get("entitlements") ?? [];
    if (!isList(inherited) || !isList(before) || inherited.length === 0) continue;
    const fields = new Map([...target.fields, ["entitlements", [...new Set([...before, ...inherited])]] as const]);
    targets.set(name, { ...target, fields });
  }
}

/** Lists the targets that stand in the contexts of another. */
export function linkedTargets(target: Target): string[] {
  const contexts: Value = target.fields.get("contexts") ?? null;
  if (!isMap(contexts)) return [];
  return [...contexts.values()].flatMap((value) =>
    typeof value === "string" && value.startsWith("target:") ? [value.slice("target:".length)] : [],
  );
}

function checkPlatforms(user: Target, used: Target): void {
  const [wanted, given] = [user.fields.get("platforms") ?? [], used.fields.get("platforms") ?? []];
  if (!isList(wanted) || !isList(given) || wanted.length < 2 || given.length < 2) return;
  if (wanted.every((platform) => given.includes(platform))) return;
  throw new BuildError(
    "bake/definition",
    `target ${used.name} can't be used by ${user.name}: it is not built for all of ${wanted.map((platform) => toText(platform) ?? "").join(", ")}`,
  );
}
