import { realpathSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { BuildError, errnoOf } from "../../lib/core/errors.ts";
import type { Target } from "../bake/definition.ts";
import { isList, isMap, toText, type Value } from "../bake/hcl/value.ts";

/** The rights that the user gives, and the directory whose files need none. */
export interface GivenRights {
  /** Values of `--allow`: `network.host`, `fs.read=/path`, `fs=*`. */
  readonly allow: readonly string[];
  /** Values of `--set`: what the user has typed needs no second permission. */
  readonly sets: readonly string[];
  readonly workingDirectory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface Right {
  /** `fs.read`, `fs.write`, or an entitlement. */
  readonly name: string;
  /** The path as written; absent for an entitlement. */
  readonly path?: string;
}

/**
 * Refuses targets that ask for more than a build in this directory: a definition comes with the files of a project, and
 * what reaches beyond them is the user's to allow.
 * @throws {BuildError} `bake/rights`, which lists the flags that allow it
 */
export function requireRights(targets: Iterable<Target>, given: GivenRights): void {
  const off = given.env["BUILDX_BAKE_ENTITLEMENTS_FS"];
  const checksPaths = off === undefined || !/^(?:0|f|false)$/i.test(off);
  const missing = new Map<string, Right>();
  for (const right of [...targets].flatMap(rightsOf)) {
    const isChecked = checksPaths || (right.path === undefined && right.name !== "ssh");
    if (
      isChecked &&
      !isGiven(right, given) &&
      ![...missing.values()].some((other) => includes(other, right, given.workingDirectory))
    )
      missing.set(flagOf(right), right);
  }
  if (missing.size === 0) return;
  const flags = [...missing.keys()].join(" ");
  throw new BuildError("bake/rights", "Cannot bake: the targets ask for rights that were not given", {
    hint: `if that is what you want, add ${flags}`,
  });
}

function flagOf({ name, path }: Right): string {
  return `--allow ${path === undefined ? name : `${name}=${path}`}`;
}

/** Tells whether one right gives another: that to a directory gives what is in it. */
function includes({ name, path }: Right, other: Right, workingDirectory: string): boolean {
  if (name !== other.name || path === undefined || other.path === undefined) return false;
  return isInside(resolve(workingDirectory, other.path), resolve(workingDirectory, path));
}

function rightsOf(target: Target): Right[] {
  const text = (name: string): string | undefined => toText(target.fields.get(name) ?? null);
  const reads = [
    ...localPaths(text("context") ?? "."),
    ...(text("dockerfile-inline") === undefined
      ? dockerfilePaths(text("context") ?? ".", text("dockerfile") ?? "")
      : []),
    ...values(target, "contexts").flatMap((value) => localPaths(toText(value) ?? "")),
    ...entries(target, "secret").flatMap((one) => member(one, "src")),
    ...entries(target, "ssh").flatMap(({ paths }) => pathsOf(paths)),
    ...entries(target, "cache-from").flatMap((one) => (one["type"] === "local" ? member(one, "src") : [])),
  ];
  const outputs = entries(target, "output");
  const writes = [
    ...outputs.flatMap((one) => member(one, "dest").filter((path) => path !== "-")),
    ...entries(target, "cache-to").flatMap((one) => (one["type"] === "local" ? member(one, "dest") : [])),
  ];
  return [
    ...values(target, "entitlements").map((value) => ({ name: toText(value) ?? "" })),
    ...(outputs.some((one) => one["type"] === "local" && one["mode"] === "delete")
      ? [{ name: "buildx.local.delete" }]
      : []),
    ...(entries(target, "ssh").some(({ paths }) => pathsOf(paths).length === 0) ? [{ name: "ssh" }] : []),
    ...reads.map((path) => ({ name: "fs.read", path })),
    ...writes.map((path) => ({ name: "fs.write", path })),
  ];
}

/** Lists the path of a context on this machine; a URL, an image and another target are none. */
function localPaths(context: string): string[] {
  if (context.startsWith("cwd://")) return [context.slice("cwd://".length) || "."];
  const [, layout] = /^oci-layout:\/\/([^@:]*)/.exec(context) ?? [];
  if (layout !== undefined) return [layout];
  return context === "" || /^[a-z][a-z+.-]*:|^git@|^github\.com\//.test(context) ? [] : [context];
}

function dockerfilePaths(context: string, dockerfile: string): string[] {
  if (dockerfile.startsWith("cwd://")) return [dockerfile.slice("cwd://".length)];
  const [directory] = localPaths(context);
  return directory === undefined || /^https?:\/\//.test(dockerfile)
    ? []
    : [resolve("/", dockerfile) === dockerfile ? dockerfile : `${directory}/${dockerfile}`];
}

function isGiven({ name, path }: Right, { allow, sets, workingDirectory }: GivenRights): boolean {
  if (sets.some((text) => text.slice(text.indexOf("=") + 1).includes(path ?? name))) return true;
  if (path === undefined) return allow.includes(name);
  const allowed = allow.flatMap((one) => {
    const [kind, place] = [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)];
    return kind === "fs" || kind === name ? [place] : [];
  });
  if (allowed.includes("*")) return true;
  const wanted = realPath(resolve(workingDirectory, path));
  return [".", ...allowed].some((place) => isInside(wanted, realPath(resolve(workingDirectory, place))));
}

function isInside(path: string, directory: string): boolean {
  const way = relative(directory, path);
  return way === "" || (way !== ".." && !way.startsWith("../"));
}

/** Follows all links; what is not there yet lies in the nearest directory that is. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (!["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "") || path === "/") return path;
    return resolve(realPath(dirname(path)), relative(dirname(path), path));
  }
}

function values({ fields }: Target, name: string): Value[] {
  const value = fields.get(name) ?? null;
  return isList(value) ? [...value] : isMap(value) ? [...value.values()] : [];
}

function entries(target: Target, name: string): Readonly<Record<string, Value>>[] {
  return values(target, name)
    .filter(isMap)
    .map((entry) => Object.fromEntries(entry));
}

function pathsOf(paths: Value | undefined): string[] {
  const value = paths ?? null;
  return isList(value) ? value.map((path) => toText(path) ?? "") : [];
}

function member(entry: Readonly<Record<string, Value>>, name: string): string[] {
  const text = toText(entry[name] ?? null);
  return text === undefined || text === "" ? [] : [text];
}
