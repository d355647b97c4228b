import type { CacheFrom, CacheOptions, CachePlace, CacheTo } from "../../engine/caches/cache-options.ts";
import { parsePlace } from "../../../lib/reapi/place.ts";
import type { Compression } from "../../../lib/core/oci.ts";
import { keyValues, malformed } from "./csv.ts";
import { isObjectType, OBJECT_KEYS, objectPlace, OBJECTS_WITHOUT_EFFECT } from "./object-cache.ts";

/** The cache flags together. */
export interface CacheFlags {
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly mode: string | undefined;
  readonly trust: readonly string[];
  /** The value of the build argument BUILDKIT_INLINE_CACHE: a true one is `--cache-to type=inline`. */
  readonly inlineArg?: string | undefined;
}

const FROM_KEYS = ["type", "ref", "src", "registry.insecure"];
const TO_KEYS = [
  "type",
  "ref",
  "dest",
  "mode",
  "mounts",
  "keep-days",
  "compression",
  "compression-level",
  "sign",
  "producer",
  "ignore-error",
  "registry.insecure",
];
const CLUSTER_KEYS = [
  "type",
  "url",
  "mode",
  "mounts",
  "compression",
  "compression-level",
  "sign",
  "producer",
  "ignore-error",
];
/** BuildKit's attributes without a counterpart, each with the reason. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  "image-manifest": "kiln's caches have a form of their own",
  "oci-mediatypes": "kiln's caches have a form of their own",
  "oci-artifact": "kiln's caches have a form of their own",
  "force-compression": "a cache holds what was built, compressed as compression= says",
  tag: "one directory serves any number of builds: results are found by what they were made of",
  digest: "a directory's results are found by what they were made of",
  ...OBJECTS_WITHOUT_EFFECT,
};
const TYPES = "registry, local, inline, s3, gha, reapi";
const OF_EXPORTS = "it is for --cache-to";
/** Attributes of exports that are often given to imports as well, and that BuildKit ignores there. */
const WITHOUT_EFFECT_FROM: Readonly<Record<string, string>> = { mode: OF_EXPORTS, "ignore-error": OF_EXPORTS };
const HIGHEST_LEVELS: Readonly<Record<Compression, number>> = { uncompressed: 0, gzip: 9, zstd: 22 };

/**
 * Reads the cache flags.
 * @throws {BuildError} `cli/usage`
 */
export function cacheOptions(flags: CacheFlags): CacheOptions {
  const { mode = "read-write" } = flags;
  if (mode !== "read" && mode !== "read-write" && mode !== "off") {
    throw malformed("cache-mode", mode, "it is not a mode", "it is one of read, read-write, off");
  }
  // Parsed even without effect: a mistake should not wait for another mode.
  const from = flags.from.flatMap(places);
  const to = flags.to.map(cacheTo);
  const isInline = to.some(({ place: { kind } }) => kind === "inline");
  if (!isInline && /^(?:1|t|true)$/i.test(flags.inlineArg ?? "")) to.push(cacheTo("inline"));
  return { from: mode === "off" ? [] : from, to: mode === "read-write" ? to : [], trust: flags.trust };
}

/** Lists cache attributes that have no effect here, one sentence each. */
export function cacheNotices(flags: {
  readonly cacheFrom: readonly string[];
  readonly cacheTo: readonly string[];
}): string[] {
  const texts = [
    ...flags.cacheFrom.map((text) => ["cache-from", text]),
    ...flags.cacheTo.map((text) => ["cache-to", text]),
  ];
  return texts.flatMap(([flag = "", text = ""]) =>
    text.includes("=")
      ? [...keyValues(text, flag).keys()].flatMap((key) => {
          const reason = withoutEffect(flag, key);
          return reason === undefined ? [] : [`--${flag}: ${key} is ignored: ${reason}`];
        })
      : [],
  );
}

function withoutEffect(flag: string, key: string): string | undefined {
  const reasons = flag === "cache-from" ? { ...WITHOUT_EFFECT, ...WITHOUT_EFFECT_FROM } : WITHOUT_EFFECT;
  return Object.hasOwn(reasons, key) ? reasons[key] : undefined;
}

/** Parses cache places. Without `=`, they are references separated by commas. */
function places(text: string): CacheFrom[] {
  if (!text.includes("=")) return text.split(",").map((ref) => ({ kind: "registry", ref, insecure: false }));
  const values = attributes(text, "cache-from");
  return [place(values, "cache-from", text)];
}

function cacheTo(text: string): CacheTo {
  const values = text.includes("=")
    ? attributes(text, "cache-to")
    : new Map(text === "inline" ? [["type", "inline"]] : [["ref", text]]);
  const mode = values.get("mode") ?? "min";
  if (mode !== "min" && mode !== "max") throw malformed("cache-to", text, "mode is min or max");
  const compression = compressionOf(values.get("compression"), text);
  const level = values.get("compression-level");
  if (level !== undefined && !(/^\d{1,2}$/.test(level) && Number(level) <= HIGHEST_LEVELS[compression ?? "gzip"])) {
    throw malformed("cache-to", text, "compression-level is not one of this compression");
  }
  const to = values.get("type") === "inline" ? ({ kind: "inline" } as const) : place(values, "cache-to", text);
  return {
    place: to,
    mode,
    keepDays: keepDaysOf(values.get("keep-days"), to.kind, text),
    mounts: isTrue(values, "mounts", "cache-to", text),
    compression,
    compressionLevel: level === undefined ? undefined : Number(level),
    sign: values.get("sign"),
    producer: values.get("producer") ?? "kiln",
    ignoreError: isTrue(values, "ignore-error", "cache-to", text),
  };
}

function keepDaysOf(days: string | undefined, kind: string, text: string): number | undefined {
  if (days === undefined) return undefined;
  if (kind !== "local") {
    throw malformed("cache-to", text, "keep-days is for type=local", "others remove old results by rules of their own");
  }
  if (!/^[1-9]\d{0,3}$/.test(days)) throw malformed("cache-to", text, "keep-days is a number of days, 1 or more");
  return Number(days);
}

function attributes(text: string, flag: string): ReadonlyMap<string, string> {
  const values = keyValues(text, flag);
  const known = knownKeys(values.get("type") ?? "registry", flag, text);
  for (const [key, value] of values) {
    if (value === "") throw malformed(flag, text, `${key} is empty`);
    if (known.includes(key) || withoutEffect(flag, key) !== undefined) continue;
    throw malformed(flag, text, `there is no attribute ${JSON.stringify(key)}`, `it is one of ${known.join(", ")}`);
  }
  return values;
}

/** Lists the attributes of a type. The type comes first: an attribute of an unknown one says nothing. */
function knownKeys(type: string, flag: string, text: string): readonly string[] {
  if (isObjectType(type)) {
    const common =
      flag === "cache-from" ? ["type"] : TO_KEYS.filter((key) => !/^(?:ref|dest|keep-days|registry)/.test(key));
    return [...common, ...OBJECT_KEYS[type]];
  }
  if (type === "reapi") return flag === "cache-from" ? ["type", "url"] : CLUSTER_KEYS;
  if (type === "registry" || type === "local" || type === "inline") return flag === "cache-from" ? FROM_KEYS : TO_KEYS;
  const others: Readonly<Record<string, string>> = {
    azblob: "a registry of Azure's does the same: type=registry,ref=NAME.azurecr.io/cache",
    gcs: "Google's storage speaks S3's protocol: type=s3,endpoint_url=https://storage.googleapis.com, with an HMAC key",
  };
  const hint = `it is one of ${TYPES}${Object.hasOwn(others, type) ? `; ${others[type]}` : ""}`;
  throw malformed(flag, text, `there is no cache of type ${JSON.stringify(type)}`, hint);
}

function place(values: ReadonlyMap<string, string>, flag: string, text: string): CachePlace {
  const type = values.get("type") ?? "registry";
  if (type === "registry") {
    const ref = values.get("ref");
    if (ref === undefined || ref === "") throw malformed(flag, text, "ref is missing");
    return { kind: "registry", ref, insecure: isTrue(values, "registry.insecure", flag, text) };
  }
  if (type === "local") {
    const key = flag === "cache-from" ? "src" : "dest";
    const directory = values.get(key);
    if (directory === undefined || directory === "") throw malformed(flag, text, `${key} is missing`);
    return { kind: "local", directory };
  }
  if (type === "reapi") {
    const url = values.get("url");
    if (url === undefined || url === "") throw malformed(flag, text, "url is missing");
    return { kind: "reapi", url: parsePlace(url, `--${flag}`).url };
  }
  if (isObjectType(type)) return objectPlace(type, values, flag, text);
  throw malformed(flag, text, `type ${type} is for --cache-to`, "an image with its cache is of type registry");
}

function compressionOf(text: string | undefined, whole: string): Compression | undefined {
  if (text === undefined || text === "gzip" || text === "zstd" || text === "uncompressed") return text;
  throw malformed("cache-to", whole, `there is no compression ${JSON.stringify(text)}`);
}

function isTrue(values: ReadonlyMap<string, string>, key: string, flag: string, text: string): boolean {
  const value = values.get(key) ?? "false";
  if (value !== "true" && value !== "false") throw malformed(flag, text, `${key} is true or false`);
  return value === "true";
}
