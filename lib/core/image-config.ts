import { BuildError } from "./errors.ts";
import { isDigest } from "./digest.ts";
import { isRecord, parseJson } from "./json.ts";
import type { ContainerConfig, Healthcheck, HistoryEntry, ImageConfig } from "./oci.ts";

/** Larger image configurations are refused. They carry history and labels; the largest in the wild have tens of kilobytes. */
export const MAX_CONFIG_BYTES = 8 << 20;

const KNOWN = new Set([
  "architecture",
  "os",
  "variant",
  "os.version",
  "os.features",
  "created",
  "author",
  "config",
  "rootfs",
  "history",
]);

/**
 * Parses an image configuration. Known members must have their proper type (`null` counts as absent, as in Go); unknown
 * top-level members are kept in `other`.
 * @throws {BuildError} `image/config`; `where` names the image, as in `"alpine:3.20"`.
 */
export function parseImageConfig(bytes: Uint8Array, where: string): ImageConfig {
  const bad = (why: string): BuildError =>
    new BuildError("image/config", `Cannot read the configuration of ${where}: ${why}`);
  const json = parseJson(new TextDecoder().decode(bytes));
  if (!isRecord(json)) throw bad("it is not a JSON object");
  const read = new MemberReader(json, bad, "");
  const rootfs = new MemberReader(read.record("rootfs") ?? {}, bad, "rootfs.");
  const diffIds = rootfs.strings("diff_ids") ?? [];
  const other = Object.fromEntries(Object.entries(json).filter(([name]) => !KNOWN.has(name)));
  if (!isShallow(other, MAX_LEVELS)) throw bad("it is nested too deeply");
  if (!diffIds.every(isDigest)) throw bad("rootfs.diff_ids holds something that is not a sha256 digest");
  return {
    architecture: read.text("architecture") ?? "",
    os: read.text("os") ?? "",
    ...present({
      variant: read.text("variant"),
      "os.version": read.text("os.version"),
      "os.features": read.strings("os.features"),
      created: read.text("created"),
      author: read.text("author"),
    }),
    config: parseContainerConfig(new MemberReader(read.record("config") ?? {}, bad, "config.")),
    rootfs: { type: "layers", diff_ids: diffIds },
    history: (read.records("history") ?? []).map((entry) =>
      parseHistoryEntry(new MemberReader(entry, bad, "history[].")),
    ),
    other,
  };
}

/** Limit of nesting in members we do not know. Reading any depth takes no stack, but writing does. */
const MAX_LEVELS = 100;

function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((member) => isShallow(member, levels - 1));
}

/**
 * Serializes a configuration: top-level members sorted, those of `config` in the order of Docker's struct, maps sorted,
 * empty values omitted, `<`, `>` and `&` escaped as Go does. Equal configurations give equal bytes.
 */
export function serializeImageConfig(image: ImageConfig): Uint8Array {
  const { config, rootfs, history, other, ...named } = image;
  const members: Record<string, unknown> = {
    ...other,
    ...named,
    config: orderContainerConfig(config),
    rootfs: { type: rootfs.type, diff_ids: rootfs.diff_ids },
    ...(history.length === 0 ? {} : { history: history.map(orderHistoryEntry) }),
  };
  const sorted = Object.fromEntries(
    Object.keys(members)
      .filter((name) => members[name] !== undefined)
      .toSorted()
      .map((name) => [name, members[name]]),
  );
  return new TextEncoder().encode(escapeAsGo(JSON.stringify(sorted)));
}

/** Escapes the characters of JSON text that Go's encoder escapes. */
export function escapeAsGo(json: string): string {
  return json.replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function parseContainerConfig(read: MemberReader): ContainerConfig {
  const healthcheck = read.record("Healthcheck");
  return present({
    User: read.text("User"),
    ExposedPorts: read.names("ExposedPorts"),
    Env: read.strings("Env"),
    Entrypoint: read.strings("Entrypoint"),
    Cmd: read.strings("Cmd"),
    Volumes: read.names("Volumes"),
    WorkingDir: read.text("WorkingDir"),
    Labels: read.texts("Labels"),
    StopSignal: read.text("StopSignal"),
    ArgsEscaped: read.flag("ArgsEscaped"),
    Healthcheck: healthcheck === undefined ? undefined : parseHealthcheck(read.inside(healthcheck, "Healthcheck.")),
    OnBuild: read.strings("OnBuild"),
    Shell: read.strings("Shell"),
  });
}

function parseHealthcheck(read: MemberReader): Healthcheck {
  return present({
    Test: read.strings("Test"),
    Interval: read.integer("Interval"),
    Timeout: read.integer("Timeout"),
    StartPeriod: read.integer("StartPeriod"),
    StartInterval: read.integer("StartInterval"),
    Retries: read.integer("Retries"),
  });
}

function parseHistoryEntry(read: MemberReader): HistoryEntry {
  return present({
    created: read.text("created"),
    created_by: read.text("created_by"),
    author: read.text("author"),
    comment: read.text("comment"),
    empty_layer: read.flag("empty_layer"),
  });
}

function orderContainerConfig(config: ContainerConfig): ContainerConfig {
  const text = (value: string | undefined): string | undefined => (value === "" ? undefined : value);
  const list = (value: readonly string[] | undefined): readonly string[] | undefined =>
    value?.length === 0 ? undefined : value;
  return present({
    User: text(config.User),
    ExposedPorts: sortedMap(config.ExposedPorts),
    Env: list(config.Env),
    Entrypoint: list(config.Entrypoint),
    Cmd: list(config.Cmd),
    Volumes: sortedMap(config.Volumes),
    WorkingDir: text(config.WorkingDir),
    Labels: sortedMap(config.Labels),
    StopSignal: text(config.StopSignal),
    ArgsEscaped: config.ArgsEscaped === true ? true : undefined,
    Healthcheck: config.Healthcheck === undefined ? undefined : orderHealthcheck(config.Healthcheck),
    OnBuild: list(config.OnBuild),
    Shell: list(config.Shell),
  });
}

function orderHealthcheck(check: Healthcheck): Healthcheck {
  const number = (value: number | undefined): number | undefined => (value === 0 ? undefined : value);
  return present({
    Test: check.Test?.length === 0 ? undefined : check.Test,
    Interval: number(check.Interval),
    Timeout: number(check.Timeout),
    StartPeriod: number(check.StartPeriod),
    StartInterval: number(check.StartInterval),
    Retries: number(check.Retries),
  });
}

function orderHistoryEntry(entry: HistoryEntry): HistoryEntry {
  return present({
    created: entry.created,
    created_by: entry.created_by === "" ? undefined : entry.created_by,
    author: entry.author === "" ? undefined : entry.author,
    comment: entry.comment === "" ? undefined : entry.comment,
    empty_layer: entry.empty_layer === true ? true : undefined,
  });
}

function sortedMap<T>(map: Readonly<Record<string, T>> | undefined): Readonly<Record<string, T>> | undefined {
  if (map === undefined) return undefined;
  const names = Object.keys(map);
  if (names.length === 0) return undefined;
  // JSON.stringify puts names that look like array indexes first, which Go does not. EXPOSE writes `80/tcp`, never `80`.
  return Object.fromEntries(Object.entries(map).toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
}

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Copies an object without the members that are `undefined`. */
function present<T extends object>(members: T): Present<T> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- exactly what the line does; no type of Object.fromEntries says so
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Present<T>;
}

/** A reader of one JSON object's members by type; a wrong type is an error that names the member. */
class MemberReader {
  readonly #json: Record<string, unknown>;
  readonly #bad: (why: string) => BuildError;
  readonly #prefix: string;

  constructor(json: Record<string, unknown>, bad: (why: string) => BuildError, prefix: string) {
    this.#json = json;
    this.#bad = bad;
    this.#prefix = prefix;
  }

  inside(json: Record<string, unknown>, prefix: string): MemberReader {
    return new MemberReader(json, this.#bad, this.#prefix + prefix);
  }

  text(name: string): string | undefined {
    return this.#read(name, "a string", (value) => typeof value === "string");
  }

  flag(name: string): boolean | undefined {
    return this.#read(name, "true or false", (value) => typeof value === "boolean");
  }

  integer(name: string): number | undefined {
    return this.#read(name, "a whole number", (value): value is number => Number.isInteger(value));
  }

  strings(name: string): readonly string[] | undefined {
    return this.#read(name, "a list of strings", (value): value is string[] => isListOf(value, isText));
  }

  record(name: string): Record<string, unknown> | undefined {
    return this.#read(name, "an object", isRecord);
  }

  records(name: string): readonly Record<string, unknown>[] | undefined {
    return this.#read(name, "a list of objects", (value): value is Record<string, unknown>[] =>
      isListOf(value, isRecord),
    );
  }

  texts(name: string): Readonly<Record<string, string>> | undefined {
    return this.#read(
      name,
      "an object of strings",
      (value): value is Record<string, string> => isRecord(value) && Object.values(value).every(isText),
    );
  }

  /** Reads a Go set: an object with meaningful names and empty objects as values. */
  names(name: string): Readonly<Record<string, Record<string, never>>> | undefined {
    const set = this.record(name);
    return set === undefined ? undefined : Object.fromEntries(Object.keys(set).map((key) => [key, {}]));
  }

  #read<T>(name: string, what: string, isProper: (value: unknown) => value is T): T | undefined {
    const value = Object.hasOwn(this.#json, name) ? this.#json[name] : undefined;
    if (value === undefined || value === null) return undefined;
    if (!isProper(value)) throw this.#bad(`${this.#prefix}${name} is not ${what}`);
    return value;
  }
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isListOf<T>(value: unknown, isProper: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.every(isProper);
}
