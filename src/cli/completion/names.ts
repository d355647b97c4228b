import { closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";

const MAX_BYTES = 1 << 20;
const MAX_NAMES = 2000;

/** Reads the beginning of a file; empty when there is none. A pipe is never waited for. */
export function readText(path: string): string {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    const { size } = fstatSync(fd);
    if (!fstatSync(fd).isFile()) return "";
    const bytes = Buffer.alloc(Math.min(size, MAX_BYTES));
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0)).toString("utf8");
  } catch {
    return "";
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Lists the stages that FROM lines name. */
export function stagesIn(dockerfile: string): string[] {
  const from = /^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*\S+[ \t]+AS[ \t]+([a-z][\w.-]*)[ \t]*\r?$/gim;
  return names(joined(dockerfile), from);
}

/** Lists the names that ARG lines declare. */
export function argsIn(dockerfile: string): string[] {
  const lines = names(joined(dockerfile), /^[ \t]*ARG[ \t]+(.*)$/gim);
  return unique(lines.flatMap((line) => line.split(/[ \t]+/).flatMap((word) => /^[A-Za-z_]\w*/.exec(word)?.[0] ?? [])));
}

/** Lists the targets and groups of a bake file, by its lines. */
export function targetsIn(file: string, text: string): string[] {
  if (/\.ya?ml$/.test(file)) return servicesIn(text);
  if (file.endsWith(".json") || /^\s*\{/.test(text)) {
    try {
      const parsed: unknown = JSON.parse(text);
      return unique(["group", "target"].flatMap((kind) => keysOf(keyed(parsed, kind))));
    } catch {
      return [];
    }
  }
  return names(text, /^[ \t]*(?:group|target)[ \t]+"([^"\n]+)"[ \t]*\{/gm);
}

/** Lists the services of a compose file: the keys one step below `services:`. */
export function servicesIn(text: string): string[] {
  const [, body = ""] = /^services:[ \t]*(?:#.*)?\r?\n((?:[ \t#].*(?:\r?\n|$)|\r?\n)*)/m.exec(text) ?? [];
  const depth = /^[ ]+(?=[^\s#])/m.exec(body)?.[0].length ?? 0;
  return names(body, new RegExp(`^ {${depth}}["']?([\\w][\\w.-]*)["']?:`, "gm"));
}

/**
 * Lists the names of images of a store, as people type them. The database is opened read-only, and without its log where
 * there is none, for that would make one.
 */
export function imagesIn(root: string, open: (url: URL) => DatabaseSync): string[] {
  const path = join(root, "kiln.db");
  const hasLog = (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
  try {
    const url = new URL(`file://${encodeURI(path).replaceAll("?", "%3f").replaceAll("#", "%23")}`);
    url.search = hasLog ? "mode=ro" : "mode=ro&immutable=1";
    const database = open(url);
    try {
      const rows = database.prepare(`SELECT name FROM refs ORDER BY updated_ms DESC LIMIT ${MAX_NAMES}`).all();
      return rows.flatMap(({ name }) => (typeof name === "string" ? familiar(name) : []));
    } finally {
      database.close();
    }
  } catch {
    return [];
  }
}

/** Lists the registries with an account in docker's file. */
export function registriesIn(config: string): string[] {
  try {
    const parsed: unknown = JSON.parse(config);
    const keys = [...keysOf(keyed(parsed, "auths")), ...keysOf(keyed(parsed, "credHelpers"))];
    return unique(keys.map((key) => key.replace(/^https?:\/\//, "").replace(/\/v1\/?$/, "")));
  } catch {
    return [];
  }
}

/** `docker.io/library/app:latest` is typed `app`. */
function familiar(name: string): string {
  return name.replace(/^docker\.io\/(?:library\/)?/, "").replace(/:latest$/, "");
}

function joined(dockerfile: string): string {
  return dockerfile.replaceAll(/[\\`][ \t]*\r?\n/g, " ");
}

function names(text: string, pattern: RegExp): string[] {
  return unique([...text.matchAll(pattern)].slice(0, MAX_NAMES).map((match) => match[1] ?? ""));
}

function unique(list: readonly string[]): string[] {
  return [...new Set(list)].filter((name) => name !== "" && !/\p{Cc}/u.test(name));
}

function keyed(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

function keysOf(value: unknown): string[] {
  return typeof value === "object" && value !== null ? Object.keys(value) : [];
}
