import { posix } from "node:path";
import { type Document, parseDocument, visit } from "yaml";
import { BuildError } from "../../../lib/core/errors.ts";
import type { SourceText } from "../../../lib/core/span.ts";
import { fromJson, isList, isMap, mapOf, toText, type Value, type ValueMap } from "../hcl/value.ts";
import { interpolate, type Lookup, parseDotenvs } from "./interpolate.ts";
import { mergeService } from "./merge.ts";
import { rebased } from "./paths.ts";

/** The world around compose files. */
export interface ComposeHost {
  readonly lookup: Lookup;
  /** Reads a file that `include` or `extends` names, relative as the sources' names are; `undefined` when there is none. */
  readonly read: (path: string) => SourceText | undefined;
  /** Directory that the result's paths are relative to: the first file's, or the one that its name is relative to. */
  readonly paths: "of-first-file" | "of-names";
  /** The project's directory, where it is not that of the first file. */
  readonly directory?: string | undefined;
  /** Profiles whose services count, and `*` for all; absent: all count. */
  readonly profiles?: readonly string[] | undefined;
}

/** Files inside each other beyond this have no end. */
const MAX_DEPTH = 32;

interface Place {
  readonly host: ComposeHost;
  readonly lookup: Lookup;
  /** Directory that the file's paths are relative to. */
  readonly directory: string;
  /** Directory of the whole project, which paths are relative to in the result. */
  readonly root: string;
  readonly depth: number;
}

/**
 * Reads the files of a project with those that they include; services have what they extend.
 * @throws {BuildError} `bake/syntax`, `bake/definition`, `bake/not-found`
 */
export function readProject(sources: readonly SourceText[], host: ComposeHost): readonly ValueMap[] {
  const root = host.directory ?? posix.dirname(sources[0]?.name ?? "");
  return sources.flatMap((source) => readFile(source, { host, lookup: host.lookup, directory: root, root, depth: 0 }));
}

/** Reads a file, after those that it includes. */
function readFile(source: SourceText, place: Place): readonly ValueMap[] {
  if (place.depth > MAX_DEPTH)
    throw new BuildError("bake/definition", `Cannot use ${source.name}: files include each other without an end`);
  const file = parseFile(source, place.lookup);
  const included = listOf(file.get("include")).flatMap((entry) => readInclude(entry, source, place));
  const services = isMap(file.get("services") ?? null) ? extended(file, { ...place, source, open: [] }) : mapOf([]);
  const prefix = place.host.paths === "of-names" ? place.directory : posix.relative(place.root, place.directory);
  return [...included, rebased(mapOf([...file, ["services", services]]), prefix)];
}

function parseFile(source: SourceText, lookup: Lookup): ValueMap {
  const document = parseDocument(source.text, { merge: true, prettyErrors: false, logLevel: "silent" });
  const [error] = document.errors;
  if (error !== undefined) {
    const message = error.message.includes("call stack") ? "it nests too deeply" : error.message;
    throw new BuildError("bake/syntax", `Cannot read YAML: ${message}`, {
      span: source.span(error.pos[0], error.pos[1]),
    });
  }
  const value = valueOf(document, source, lookup);
  if (!isMap(value)) throw new BuildError("bake/definition", `Cannot use ${source.name}: it is no compose file`);
  return value;
}

/** Times that a file's aliases may stand for something. */
const MAX_ALIASES = 1000;

/** Takes the values out of a document, with variables put in. */
function valueOf(document: Document.Parsed, source: SourceText, lookup: Lookup): Value {
  try {
    visit(document, {
      Scalar(key, node) {
        if (key === "key" || typeof node.value !== "string") return;
        node.value = interpolated(node.value, node.range ?? undefined, source, lookup);
      },
    });
    const json: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
    return fromJson(json ?? {});
  } catch (error) {
    // Aliases that stand for too much, and those that stand for what they are in: the package's errors for both.
    if (!(error instanceof RangeError || error instanceof ReferenceError)) throw error;
    const message = "Cannot read YAML: it nests too deeply, or its aliases stand for too much";
    throw new BuildError("bake/syntax", message, { span: source.span(0, 0), cause: error });
  }
}

function interpolated(
  text: string,
  range: readonly [number, number, number] | undefined,
  source: SourceText,
  lookup: Lookup,
): string {
  try {
    return interpolate(text, lookup);
  } catch (error) {
    if (!(error instanceof BuildError) || range === undefined) throw error;
    throw error.at(source.span(range[0], range[1]));
  }
}

/** Reads `path`, or `{ path, project_directory, env_file }`, where a path may be a list. */
function readInclude(entry: Value, { name }: SourceText, place: Place): readonly ValueMap[] {
  const given = isMap(entry) ? entry : mapOf([["path", entry]]);
  const path = given.get("path") ?? null;
  const names = (isList(path) ? path : [path]).map((one) => toText(one) ?? "");
  const [first = ""] = names;
  if (first === "") throw new BuildError("bake/definition", `Cannot use ${name}: an include has no path`);
  const own = toText(given.get("project_directory") ?? null);
  const directory = posix.join(place.directory, own ?? posix.dirname(first));
  const lookup = lookupIn(directory, given.get("env_file") ?? null, place);
  return names.flatMap((one) => {
    const source = need(posix.join(place.directory, one), name, place.host);
    return readFile(source, { ...place, directory, lookup, depth: place.depth + 1 });
  });
}

/** Looks variables up outside first, then in the files that an include names, or in `.env` of its directory. */
function lookupIn(directory: string, envFile: Value, { host, lookup: outer, directory: from }: Place): Lookup {
  const named = (isList(envFile) ? envFile : [envFile]).flatMap((one) => toText(one) ?? []);
  const paths = named.length > 0 ? named.map((one) => posix.join(from, one)) : [posix.join(directory, ".env")];
  const values = parseDotenvs(
    paths.flatMap((path) => host.read(path)?.text ?? []),
    outer,
  );
  return (name) => outer(name) ?? values.get(name);
}

function need(path: string, from: string, host: ComposeHost): SourceText {
  const source = host.read(path);
  if (source !== undefined) return source;
  throw new BuildError(
    "bake/not-found",
    `Cannot read ${JSON.stringify(path)}, which ${from} names: there is no such file`,
  );
}

interface Extending extends Place {
  readonly source: SourceText;
  /** Services whose base is being looked for. */
  readonly open: readonly string[];
}

/** Gives the services of a file what they extend. */
function extended(file: ValueMap, at: Extending): ValueMap {
  const services = file.get("services") ?? null;
  return mapOf((isMap(services) ? [...services] : []).map(([name]) => [name, serviceOf(name, file, at)] as const));
}

function serviceOf(name: string, file: ValueMap, at: Extending): Value {
  const services = file.get("services") ?? null;
  const service = isMap(services) ? (services.get(name) ?? null) : null;
  if (!isMap(service)) return service;
  const base = service.get("extends") ?? null;
  const given = isMap(base) ? base : mapOf([["service", base]]);
  const wanted = toText(given.get("service") ?? null);
  if (wanted === undefined) return service;
  const path = toText(given.get("file") ?? null);
  const source = path === undefined ? at.source : need(posix.join(at.directory, path), at.source.name, at.host);
  const key = `${source.name} ${wanted}`;
  if (at.open.includes(key) || key === `${at.source.name} ${name}`)
    throw new BuildError("bake/definition", `Cannot use service ${name}: it extends itself by way of ${wanted}`);
  const open = [...at.open, key];
  const other = path === undefined ? file : parseFile(source, at.lookup);
  const all = other.get("services") ?? null;
  if (!isMap(all) || !all.has(wanted))
    throw new BuildError(
      "bake/definition",
      `Cannot use service ${name}: there is no service ${wanted} in ${source.name}`,
    );
  if (path === undefined) return mergeService(serviceOf(wanted, file, { ...at, open }), service);
  const directory = posix.dirname(source.name);
  const found = serviceOf(wanted, other, { ...at, source, directory, open });
  // Its paths are relative to its own file.
  const moved = rebased(mapOf([["services", mapOf([[wanted, found]])]]), posix.relative(at.directory, directory));
  const placed = moved.get("services") ?? null;
  return mergeService(isMap(placed) ? (placed.get(wanted) ?? null) : null, service);
}

function listOf(value: Value | undefined): readonly Value[] {
  return value !== undefined && isList(value) ? value : [];
}
