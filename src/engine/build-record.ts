import { namesSecret } from "../../frontend/convert/metadata.ts";
import { isRecord, type Json, parseJson } from "../../lib/core/json.ts";
import { VERSION } from "../../lib/core/version.ts";
import type { OutputSpec } from "../export/output-spec.ts";
import type { BuildOptions } from "./options.ts";
import { redactor } from "./redact.ts";
import type { BuildRecord, RecordedWork } from "./report.ts";

/** Limits of what one build may say about itself. */
const MAX_VALUES = 200;
const MAX_VALUE = 500;
const MAX_WORK = 200;

/** Starts a record: everything that is known before the build begins. */
export function beganRecord(options: BuildOptions, place: Pick<BuildRecord, "directory" | "commit">): BuildRecord {
  return {
    status: "interrupted",
    ...place,
    options: recordedOptions(options),
    versions: { kiln: VERSION, node: process.version },
    work: [],
  };
}

/** Writes a report as JSON without secrets. Most builds have none, and then it is not looked through. */
export function reportJson(report: object, { buildArgs, labels }: Pick<BuildOptions, "buildArgs" | "labels">): string {
  const variables = [...Object.entries(buildArgs ?? {}), ...Object.entries(labels ?? {})];
  const text = JSON.stringify(report);
  if (!text.includes("://") && !variables.some(([name]) => namesSecret(name))) return text;
  return JSON.stringify(redactor(variables)(jsonOf(text)));
}

function jsonOf(text: string): Json {
  const value = parseJson(text);
  return isJsonObject(value) ? value : {};
}

/** Tells whether a parsed text is an object; all its members are JSON then. */
function isJsonObject(value: unknown): value is { readonly [name: string]: Json } {
  return isRecord(value);
}

/** Keeps the first lines of work: a build may pull thousands of layers. */
export function boundedWork(work: readonly RecordedWork[]): readonly RecordedWork[] {
  return work.length <= MAX_WORK ? work : [...work.slice(0, MAX_WORK - 20), ...work.slice(-20)];
}

function recordedOptions(options: BuildOptions): BuildRecord["options"] {
  const { buildArgs, labels, contexts, cache, secrets, ssh, noCache, pull, limits } = options;
  const pairs = (values: Readonly<Record<string, string>> | undefined): string[] =>
    Object.entries(values ?? {}).map(([name, value]) => `${name}=${namesSecret(name) ? "***" : value}`);
  const all: Readonly<Record<string, string | readonly string[] | undefined>> = {
    dockerfile: options.dockerfile,
    platforms: options.platforms,
    buildArgs: pairs(buildArgs),
    labels: pairs(labels),
    contexts: pairs(contexts),
    outputs: options.outputs?.map(outputText),
    noCache: noCache === true ? "true" : noCache === false ? undefined : noCache,
    pull: pull === false || pull === undefined ? undefined : String(pull),
    offline: options.offline === true ? "true" : undefined,
    cacheFrom: cache?.from.map(placeText),
    cacheTo: cache?.to.map(({ place, mode }) => `${placeText(place)},mode=${mode}`),
    secrets: secrets?.map(({ id }) => id),
    ssh: ssh?.map(({ id }) => id),
    network: options.network === "default" ? undefined : options.network,
    allow: options.allow,
    jobs: options.jobs === undefined ? undefined : String(options.jobs),
    limits: Object.entries(limits ?? {}).map(([name, value]) => `${name}=${value}`),
    reproducible: options.reproducible === true ? "true" : undefined,
    squash: options.squash === true ? "true" : undefined,
    provenance: options.provenance === undefined ? undefined : options.provenance.mode,
    sbom: options.sbom === true ? "true" : undefined,
  };
  const cut = (text: string): string => (text.length <= MAX_VALUE ? text : `${text.slice(0, MAX_VALUE)}…`);
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, value]) => {
      if (value === undefined || value.length === 0) return [];
      return [[name, typeof value === "string" ? cut(value) : value.slice(0, MAX_VALUES).map(cut)]];
    }),
  );
}

function outputText(output: OutputSpec): string {
  switch (output.kind) {
    case "image":
      return [...(output.store ? ["store"] : []), ...(output.push ? ["push"] : [])].join("+") || "image";
    case "oci":
    case "docker":
    case "local":
    case "tar":
      return `${output.kind} ${output.destination}`;
    case "engine":
      return output.engine;
    case "cacheonly":
      return "cacheonly";
    default:
      return output satisfies never;
  }
}

type Place = NonNullable<BuildOptions["cache"]>["to"][number]["place"];

/** Names a cache. Attributes of object stores may be keys, so they are left out. */
function placeText(place: Place): string {
  switch (place.kind) {
    case "registry":
      return `registry ${place.ref}`;
    case "local":
      return `local ${place.directory}`;
    case "reapi":
      return `reapi ${place.url}`;
    case "s3":
    case "gha":
    case "inline":
      return place.kind;
    default:
      return place satisfies never;
  }
}
