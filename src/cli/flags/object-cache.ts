import { BuildError } from "../../../lib/core/errors.ts";
import type { ObjectPlace } from "../../../solver/cache/objects/object-store.ts";
import { malformed } from "./csv.ts";
import { durationMs } from "./duration.ts";

/** Attributes of the caches in stores of objects. */
export const OBJECT_KEYS: Readonly<Record<ObjectPlace["kind"], readonly string[]>> = {
  s3: [
    ...["bucket", "region", "prefix", "blobs_prefix", "manifests_prefix", "name", "endpoint_url", "use_path_style"],
    ...["access_key_id", "secret_access_key", "session_token", "touch_refresh", "upload_parallelism"],
  ],
  gha: ["scope", "token", "url", "url_v2", "version", "timeout"],
};

const RETRIED = "a request that fails in passing is sent five times";
const ASKED = "the cache service itself is asked for what it has";
/** BuildKit's attributes for them without a counterpart. */
export const OBJECTS_WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  retry_mode: RETRIED,
  retry_max_attempts: RETRIED,
  disable_accept_encoding: "no such header is signed",
  ghtoken: ASKED,
  repository: ASKED,
};

const DURATIONS: ReadonlySet<string> = new Set(["touch_refresh", "timeout"]);

export function isObjectType(type: string): type is ObjectPlace["kind"] {
  return type === "s3" || type === "gha";
}

/**
 * Makes a place of checked attributes; durations become milliseconds.
 * @throws {BuildError} `cli/usage`
 */
export function objectPlace(
  kind: ObjectPlace["kind"],
  values: ReadonlyMap<string, string>,
  flag: string,
  text: string,
): ObjectPlace {
  const attributes: Record<string, string> = {};
  for (const [key, value] of values) {
    if (!OBJECT_KEYS[kind].includes(key)) continue;
    const why = faultOf(key, value);
    if (why !== undefined) throw malformed(flag, text, why);
    attributes[key] = DURATIONS.has(key) ? String(durationOf(value, key, { flag, text })) : value;
  }
  return { kind, attributes };
}

function faultOf(key: string, value: string): string | undefined {
  if (key === "use_path_style" && !/^(?:true|false)$/.test(value)) return "use_path_style is true or false";
  if (key === "upload_parallelism" && !/^[1-9]\d?$/.test(value)) return "upload_parallelism is a number from 1 to 99";
  if (key === "version" && !/^[12]$/.test(value)) return "version is 1 or 2";
  if (key === "name" && /^;*$/.test(value)) return "name is a list of names with ; between them";
  return undefined;
}

function durationOf(
  value: string,
  key: string,
  { flag, text }: { readonly flag: string; readonly text: string },
): number {
  try {
    const ms = durationMs(value, key);
    if (ms > 0 || key !== "timeout") return ms;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
  }
  throw malformed(flag, text, `${key} is a duration`, 'write it like "10m" or "24h"');
}
