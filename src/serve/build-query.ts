import { hubUrl, parseGitUrl } from "../../lib/core/git-url.ts";
import { isRecord } from "../../lib/core/json.ts";
import { isIP } from "node:net";
import type { BuildLimits, BuildOptions } from "../engine/options.ts";
import { STORE_OUTPUT } from "../export/output-spec.ts";
import { badRequest, isSet, jsonIn, unsupported } from "./call.ts";

/** A build as a client asks for it. */
export interface AskedBuild {
  readonly options: BuildOptions;
  /** True when the answer is to be the image's id alone. */
  readonly isQuiet: boolean;
  /** Sentences about parameters that have no effect here. */
  readonly notes: readonly string[];
}

/**
 * Reads the parameters of `POST /build` by the classic builder's names. Those that docker ignores are ignored.
 * @throws {BuildError} `serve/request`, `serve/unsupported`
 */
export function buildQuery(query: URLSearchParams): AskedBuild {
  const text = (name: string): string | undefined => query.get(name) || undefined;
  refuseBuildKit(query);
  const notes = list(query, "cachefrom").length === 0 ? [] : [CACHE_FROM];
  return {
    isQuiet: isSet(query, "q"),
    notes,
    options: {
      context: contextOf(text("remote")),
      contextRules: "classic",
      dockerfile: text("dockerfile"),
      tags: query.getAll("t").filter((name) => name !== ""),
      target: text("target"),
      platforms: (text("platform") ?? "").split(",").filter((name) => name !== ""),
      buildArgs: map(query, "buildargs"),
      labels: map(query, "labels"),
      outputs: [STORE_OUTPUT],
      noCache: isSet(query, "nocache"),
      pull: isSet(query, "pull"),
      squash: isSet(query, "squash"),
      network: networkOf(text("networkmode")),
      extraHosts: list(query, "extrahosts").map(hostOf),
      ulimits: ulimitsOf(query),
      shmSizeBytes: count(query, "shmsize"),
      cgroupParent: text("cgroupparent"),
      limits: limitsOf(query),
    },
  };
}

const CACHE_FROM = "cachefrom is not needed: the cache of all builds on this store is used";

/** Refuses what only BuildKit's protocol can do, in words that lead to the classic one. */
function refuseBuildKit(query: URLSearchParams): void {
  const hint = "set DOCKER_BUILDKIT=0, or use kiln build, which does what BuildKit does";
  if (query.get("version") === "2")
    throw unsupported("Cannot build by BuildKit's protocol: kiln serve takes classic builds", hint);
  if (query.get("remote") === "client-session") throw unsupported("Cannot take a context by a session", hint);
  const outputs = query.get("outputs") ?? "";
  if (!["", "null", "[]"].includes(outputs)) throw unsupported("Cannot write outputs for a client", hint);
  if (list(query, "securityopt").length > 0)
    throw badRequest("The daemon on this platform does not support setting security options on build");
  const isolation = query.get("isolation") ?? "";
  if (!["", "default"].includes(isolation))
    throw badRequest(`Cannot use isolation ${JSON.stringify(isolation)} on Linux`);
}

/** Takes the archive in the body, a repository or a URL; a path would be one of this machine. */
function contextOf(remote: string | undefined): string {
  if (remote === undefined) return "-";
  if (/^https?:\/\//i.test(remote) || parseGitUrl(remote) !== undefined || hubUrl(remote) !== undefined) return remote;
  throw badRequest(`Cannot use remote ${JSON.stringify(remote)}: it is neither a URL nor a git repository`);
}

function networkOf(mode: string | undefined): NonNullable<BuildOptions["network"]> {
  if (mode === undefined || mode === "default" || mode === "bridge") return "default";
  if (mode === "host" || mode === "none") return mode;
  throw unsupported(
    `Cannot build in the network ${JSON.stringify(mode)}: there are no networks here`,
    "use host or none, or leave it out",
  );
}

function hostOf(entry: string): { readonly name: string; readonly address: string } {
  const [, name = "", given = ""] = /^([^:=]+)[:=](.+)$/.exec(entry) ?? [];
  const address = given === "host-gateway" ? "127.0.0.1" : given.replace(/^\[(.*)\]$/, "$1");
  if (isIP(address) === 0) throw badRequest(`Cannot use extrahosts ${JSON.stringify(entry)}: it is not host:ip`);
  return { name: name.toLowerCase(), address };
}

function ulimitsOf(query: URLSearchParams): NonNullable<BuildOptions["ulimits"]> {
  const entries = jsonParameter(query, "ulimits");
  if (entries === undefined) return [];
  if (!Array.isArray(entries)) throw wrong("ulimits", "it is no list");
  return entries.map((entry: unknown) => {
    const { Name: name, Soft: soft, Hard: hard = soft } = isRecord(entry) ? entry : {};
    if (typeof name !== "string" || !Number.isSafeInteger(soft) || !Number.isSafeInteger(hard))
      throw wrong("ulimits", "an entry is not Name, Soft and Hard");
    return { name, soft: Number(soft), hard: Number(hard) };
  });
}

/** Limits by the names of their parameters. 0 is no limit, as with docker. */
const LIMITS = {
  memoryBytes: "memory",
  memorySwapBytes: "memswap",
  cpuShares: "cpushares",
  cpuPeriodUs: "cpuperiod",
  cpuQuotaUs: "cpuquota",
} as const;

function limitsOf(query: URLSearchParams): BuildLimits {
  const numbers = Object.entries(LIMITS).flatMap(([key, name]): [string, number][] => {
    const value = count(query, name);
    return value === undefined ? [] : [[key, value]];
  });
  const texts = (["cpusetCpus", "cpusetMems"] as const).flatMap((key): [string, string][] => {
    const value = query.get(key.toLowerCase()) ?? "";
    if (value === "") return [];
    if (!/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(value)) throw wrong(key.toLowerCase(), "it is not a list of numbers");
    return [[key, value]];
  });
  return Object.fromEntries<number | string>([...numbers, ...texts]);
}

/** Reads a whole number; `undefined` for 0 and for none. -1 is only for `memswap`: unlimited. */
function count(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name) ?? "";
  if (text === "") return undefined;
  const value = Number(text);
  const isProper = /^-?\d+$/.test(text) && Number.isSafeInteger(value) && (value >= 0 || name === "memswap");
  if (!isProper) throw wrong(name, `${JSON.stringify(text)} is not a number of at least 0`);
  return value === 0 ? undefined : value;
}

/** Reads an object of texts. A member of null has no value: the client's variable is not set. */
function map(query: URLSearchParams, name: string): Record<string, string> {
  const given = jsonParameter(query, name) ?? {};
  if (!isRecord(given)) throw wrong(name, "it is no object");
  const members: Record<string, string> = {};
  // Every name is free: `__proto__` is one like any other.
  Object.setPrototypeOf(members, null);
  for (const [key, value] of Object.entries(given)) {
    if (value === null) continue;
    if (typeof value !== "string") throw wrong(name, `the value of ${JSON.stringify(key)} is no text`);
    members[key] = value;
  }
  return members;
}

/** Reads a list of texts: JSON, or the parameter several times. */
function list(query: URLSearchParams, name: string): readonly string[] {
  const given = query.getAll(name).filter((text) => text !== "");
  if (given.length !== 1 || !/^\s*(?:\[|null)/.test(given[0] ?? "")) return given;
  const values = jsonParameter(query, name) ?? [];
  if (!Array.isArray(values)) throw wrong(name, "it is no list");
  return values.map((value: unknown) => {
    if (typeof value !== "string") throw wrong(name, "an entry is no text");
    return value;
  });
}

function jsonParameter(query: URLSearchParams, name: string): unknown {
  const text = query.get(name) ?? "";
  if (text === "") return undefined;
  return jsonIn(text, `the parameter ${name}`) ?? undefined;
}

function wrong(name: string, why: string): ReturnType<typeof badRequest> {
  return badRequest(`Cannot read the parameter ${name}: ${why}`);
}
