import { BuildError } from "../../lib/core/errors.ts";
import { cleanPath } from "../../lib/core/patterns/clean-path.ts";
import { didYouMean } from "../../lib/core/suggest.ts";
import { CsvError, csvFields } from "../../lib/core/csv.ts";
import type { MountFlag } from "./instruction.ts";

const TYPES = ["bind", "cache", "tmpfs", "secret", "ssh"] as const;
const SHARING = ["shared", "private", "locked"] as const;
export type MountType = (typeof TYPES)[number];

const KEYS = [
  ...["type", "from", "source", "src", "target", "dst", "destination", "readonly", "ro", "readwrite", "rw"],
  ...["required", "size", "id", "sharing", "mode", "uid", "gid", "env"],
];

/** One `RUN --mount=` with its values expanded; an absent key is `undefined`. Paths are as written. */
export interface MountSpec {
  readonly type: MountType;
  readonly from: string | undefined;
  readonly source: string | undefined;
  readonly target: string | undefined;
  /** Mode as given, or else the type's default: only cache and tmpfs are writable. */
  readonly mode: "ro" | "rw";
  /** True where a secret or ssh mount must be available. */
  readonly required: boolean;
  /** Size of a tmpfs. */
  readonly sizeBytes: number | undefined;
  readonly id: string | undefined;
  /** Sharing mode of a cache. */
  readonly sharing: (typeof SHARING)[number] | undefined;
  /** Mode of a cache, secret or ssh mount; the next two fields are for the same types. */
  readonly permissions: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Variable that holds a secret. */
  readonly env: string | undefined;
}

type Draft = { -readonly [Key in keyof MountSpec]: Key extends "mode" ? MountSpec[Key] | undefined : MountSpec[Key] };

/**
 * Parses a mount. Keys are read from left to right, so `type=` must come before a key that only some types have.
 * @param expand Applied to every value.
 * @throws {BuildError} `dockerfile/mount` at the flag, or any error of `expand`
 */
export function parseMountFlag(flag: MountFlag, expand: (value: string) => string): MountSpec {
  const fail = failAt(flag);
  const mount: Draft = {
    type: "bind",
    required: false,
    ...{ from: undefined, source: undefined, target: undefined, mode: undefined, sizeBytes: undefined, id: undefined },
    ...{ sharing: undefined, permissions: undefined, uid: undefined, gid: undefined, env: undefined },
  };
  for (const field of fieldsOf(flag)) {
    const equals = field.indexOf("=");
    const key = (equals === -1 ? field : field.slice(0, equals)).toLowerCase();
    if (equals === -1) setBare(mount, key, field, fail);
    else setKey(mount, { key, value: expand(field.slice(equals + 1)), field }, fail);
  }
  return checked(mount, fail);
}

/**
 * Reads the `from=` of a mount, before anything is expanded.
 * @throws {BuildError} `dockerfile/mount` for text that is not a list, and for a variable in `from`
 */
export function mountSource(flag: Omit<MountFlag, "from">): string | undefined {
  let from: string | undefined;
  for (const field of fieldsOf(flag)) {
    const match = /^from=(.*)$/is.exec(field);
    if (match === null) continue;
    from = match[1];
    if (from !== undefined && /\$./s.test(from)) {
      failAt(flag)("'from' doesn't support variable expansion, define alias stage instead", {
        hint: `write FROM ${from} AS <name> above, and from=<name> here`,
      });
    }
  }
  return from === "" ? undefined : from;
}

type Fail = (message: string, details?: { readonly hint?: string }) => never;

function failAt(flag: Omit<MountFlag, "from">): Fail {
  return (message, details) => {
    throw new BuildError("dockerfile/mount", message, { span: flag.span, hint: details?.hint });
  };
}

function fieldsOf(flag: Omit<MountFlag, "from">): readonly string[] {
  try {
    return csvFields(flag.text);
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    return failAt(flag)(`failed to parse csv mounts: ${error.message}`, {
      hint: "write --mount=type=<type>,<key>=<value>,...",
    });
  }
}

function setBare(mount: Draft, key: string, field: string, fail: Fail): void {
  switch (key) {
    case "readonly":
    case "ro":
      mount.mode = "ro";
      return;
    case "readwrite":
    case "rw":
      mount.mode = "rw";
      return;
    case "required":
      mount.required = requiredOf(mount, key, fail);
      return;
    default:
      fail(`invalid field '${field}' must be a key=value pair`, {
        hint: "only ro, rw and required stand alone",
      });
  }
}

interface Field {
  readonly key: string;
  readonly value: string;
  /** The field as written. */
  readonly field: string;
}

function setKey(mount: Draft, { key, value, field }: Field, fail: Fail): void {
  switch (key) {
    case "type":
      mount.type =
        TYPES.find((type) => type === value.toLowerCase()) ??
        fail(`unsupported mount type ${JSON.stringify(value)}${didYouMean(value, TYPES)}`, {
          hint: `types are ${TYPES.join(", ")}`,
        });
      return;
    case "from":
      mount.from = value;
      return;
    case "source":
    case "src":
      mount.source = value;
      return;
    case "target":
    case "dst":
    case "destination":
      mount.target = value;
      return;
    case "readonly":
    case "ro":
      mount.mode = toBoolean(key, value, fail) ? "ro" : "rw";
      return;
    case "readwrite":
    case "rw":
      mount.mode = toBoolean(key, value, fail) ? "rw" : "ro";
      return;
    case "required":
      requiredOf(mount, key, fail);
      mount.required = toBoolean(key, value, fail);
      return;
    case "size":
      if (mount.type !== "tmpfs") unexpectedFor(mount, key, fail);
      mount.sizeBytes = parseSize(value) ?? fail(`invalid value for ${key}: ${value}`, { hint: "write size=64m" });
      return;
    case "id":
      mount.id = value;
      return;
    case "sharing":
      mount.sharing =
        SHARING.find((sharing) => sharing === value.toLowerCase()) ??
        fail(`unsupported sharing value ${JSON.stringify(value)}${didYouMean(value, SHARING)}`, {
          hint: `write sharing=${SHARING.join(", sharing=")}`,
        });
      return;
    case "mode":
      mount.permissions = toUnsigned(key, value, 8, fail);
      return;
    case "uid":
      mount.uid = toUnsigned(key, value, 10, fail);
      return;
    case "gid":
      mount.gid = toUnsigned(key, value, 10, fail);
      return;
    case "env":
      mount.env = value;
      return;
    default:
      fail(`unexpected key '${key}' in '${field}'${didYouMean(key, KEYS)}`, { hint: `keys are ${KEYS.join(", ")}` });
  }
}

function requiredOf(mount: Draft, key: string, fail: Fail): true {
  if (mount.type !== "secret" && mount.type !== "ssh") unexpectedFor(mount, key, fail);
  return true;
}

function unexpectedFor(mount: Draft, key: string, fail: Fail): never {
  return fail(`unexpected key '${key}' for mount type '${mount.type}'`, {
    hint: "keys are read from left to right: write type= first",
  });
}

function checked(mount: Draft, fail: Fail): MountSpec {
  const { type } = mount;
  if (type === "bind" || type === "tmpfs") {
    for (const [key, value] of [
      ["mode", mount.permissions] as const,
      ["uid", mount.uid] as const,
      ["gid", mount.gid] as const,
    ])
      if (value !== undefined) fail(`${key} not allowed for ${JSON.stringify(type)} type mounts`);
  }
  if (type === "tmpfs" && present(mount.source) && cleanPath(`/${mount.source}`) !== "/")
    fail("unexpected key 'source' for mount type 'tmpfs'", { hint: "a tmpfs begins empty: leave source out" });
  if (mount.sharing !== undefined && type !== "cache") fail(`invalid cache sharing set for ${type} mount`);
  if (type === "secret") {
    if (present(mount.from)) fail("secret mount should not have a from");
    if (!present(mount.source) && !present(mount.target) && !present(mount.id))
      fail("invalid secret mount. one of source, target required", { hint: "write --mount=type=secret,id=<id>" });
    if (present(mount.source) && present(mount.id)) fail("both source and id can't be set");
    if (mount.env === "") fail("the secret's env= has no name", { hint: "write env=<variable>" });
  }
  const mode = mount.mode ?? (type === "cache" || type === "tmpfs" ? "rw" : "ro");
  return { ...mount, mode };
}

function present(value: string | undefined): boolean {
  return value !== undefined && value !== "";
}

/** Parses a boolean as Go's strconv.ParseBool does. */
function toBoolean(key: string, value: string, fail: Fail): boolean {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(value)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(value)) return false;
  return fail(`invalid value for ${key}: ${value}`, { hint: `write ${key}=true or ${key}=false` });
}

function toUnsigned(key: string, value: string, base: 8 | 10, fail: Fail): number {
  const digits = base === 8 ? /^[0-7]+$/ : /^[0-9]+$/;
  const number = digits.test(value) ? Number.parseInt(value, base) : Number.NaN;
  return number < 2 ** 32 ? number : fail(`invalid value ${value} for ${key}`);
}

/** Parses a size as Docker does: `64m`, `1.5 GiB`, `100`; powers of 1024. */
function parseSize(text: string): number | undefined {
  const match = /^(\+?(?:\d+\.?\d*|\.\d+)) ?(?:b|([kmgtp])(?:i?b)?)?$/i.exec(text);
  if (match === null) return undefined;
  const power = match[2] === undefined ? 0 : "kmgtp".indexOf(match[2].toLowerCase()) + 1;
  return Math.trunc(Number(match[1]) * 1024 ** power);
}
