import { isRecord, parseJson } from "../../../lib/core/json.ts";
import type { ImageReader } from "./image-reader.ts";
import type { PackageList } from "./package-list.ts";

const INSTALLED = /(?:^|\/)node_modules\/(?:@[^/]+\/)?[^/]+\/package\.json$/;
const MAX_PACKAGE_BYTES = 1 << 20;
const MAX_LOCK_BYTES = 64 << 20;

/** Tells whether a file describes npm packages. */
export function isNpmFile(path: string): boolean {
  return INSTALLED.test(path) || isLock(path);
}

function isLock(path: string): boolean {
  return /(?:^|\/)(?:package-lock|npm-shrinkwrap)\.json$/.test(path);
}

/**
 * Adds the packages of an installed package's own file, or of a lock file that lies outside of installed packages. Packages for
 * development that a lock file names need not be there: only the file of an installed one counts.
 */
export function addNpmPackages(reader: ImageReader, path: string, list: PackageList): void {
  const place = `/${path}`;
  if (!isLock(path)) {
    const value = readJson(reader, path, MAX_PACKAGE_BYTES);
    if (isRecord(value)) addPackage(value["name"], value["version"], licenseOf(value), place, list);
    return;
  }
  // The lock file of a package that is installed was not used here.
  if (/(?:^|\/)node_modules\//.test(path)) return;
  const lock = readJson(reader, path, MAX_LOCK_BYTES);
  if (!isRecord(lock)) return;
  if (isRecord(lock["packages"])) {
    for (const [key, entry] of Object.entries(lock["packages"])) {
      const from = key.lastIndexOf("node_modules/");
      if (from < 0 || !isRecord(entry) || entry["link"] === true || entry["dev"] === true) continue;
      const name = typeof entry["name"] === "string" ? entry["name"] : key.slice(from + "node_modules/".length);
      addPackage(name, entry["version"], licenseOf(entry), place, list);
    }
    return;
  }
  addDependencies(lock["dependencies"], place, list);
}

/** Adds the dependencies of a lock file in npm's first form, where they are nested. */
function addDependencies(given: unknown, place: string, list: PackageList): void {
  const waiting = [given];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (!isRecord(next)) continue;
    for (const [name, entry] of Object.entries(next)) {
      if (!isRecord(entry)) continue;
      if (entry["dev"] !== true) addPackage(name, entry["version"], undefined, place, list);
      if (entry["dependencies"] !== undefined) waiting.push(entry["dependencies"]);
    }
  }
}

function addPackage(
  fullName: unknown,
  version: unknown,
  license: string | undefined,
  place: string,
  list: PackageList,
): void {
  if (typeof fullName !== "string" || typeof version !== "string" || version === "") return;
  const [, namespace, name] = /^(?:(@[^/]+)\/)?([^/@][^/]*)$/.exec(fullName) ?? [];
  if (name === undefined) return;
  list.add({ url: { type: "npm", namespace, name, version }, license, place });
}

/** Finds the license in its forms: a text, an object with a type, or a list of either. */
function licenseOf(value: Readonly<Record<string, unknown>>): string | undefined {
  const given = value["license"] ?? value["licenses"];
  const texts = (Array.isArray(given) ? given : [given]).flatMap((one: unknown) => {
    const text = isRecord(one) ? one["type"] : one;
    return typeof text === "string" && text !== "" ? [text] : [];
  });
  if (texts.length < 2) return texts[0];
  return texts.slice(0, 10).join(" OR ");
}

function readJson(reader: ImageReader, path: string, maxBytes: number): unknown {
  const bytes = reader.read(path, maxBytes);
  return bytes === undefined ? undefined : parseJson(bytes.toString("utf8"));
}
