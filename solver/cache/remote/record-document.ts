import { type Digest, isDigest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { canonicalJson, isRecord, parseJson } from "../../../lib/core/json.ts";
import type { Descriptor } from "../../../lib/core/oci.ts";
import type { KeyPart } from "../../../lib/store/model.ts";

/** Version of the format; raise it when the members below change their meaning. Other formats are ignored. */
const FORMAT = "kiln cache record 2";

/** A step's result for transport: the text of an entry. docs/cache.md shows it. */
export type RecordDocument = {
  /** The keys under which the document may be found. */
  readonly definitionKey: Digest;
  readonly contentKey: Digest | undefined;
  readonly site: string;
  readonly name: string;
  readonly parts: readonly KeyPart[];
  /** Blobs of the parts' file listings, in the same cache. They are read when a later miss is explained. */
  readonly listings?: readonly Pick<Descriptor, "digest" | "size">[] | undefined;
  /** The whole resulting tree, lowest layer first. */
  readonly layers: readonly DocumentLayer[];
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly peakMemoryBytes: number | undefined;
  /** Name of the builder that ran the step, in its own words. */
  readonly producer: string;
  readonly createdAtMs: number;
};

export type DocumentLayer = {
  readonly diffId: Digest;
  /** Present only for layers that a build made. */
  readonly contentDigest?: Digest | undefined;
  readonly tarSizeBytes?: number | undefined;
  /** `SnapshotRow.runs` of a layer in whole seconds, written by `formatRuns`. */
  readonly runs?: string | undefined;
  readonly createdAtMs: number;
  /** Absent for layers of a base image that a registry has. */
  readonly blob?: Pick<Descriptor, "mediaType" | "digest" | "size"> | undefined;
};

export function encodeRecord(document: RecordDocument): string {
  return canonicalJson({ format: FORMAT, ...document });
}

/**
 * Parses a document.
 * @throws {BuildError} `cache/import-failed` for any text that `encodeRecord` does not write
 */
export function decodeRecord(text: string): RecordDocument {
  const json = members(parseJson(text));
  if (json["format"] !== FORMAT) throw malformed(`its format is ${JSON.stringify(json["format"])}`);
  return {
    definitionKey: digest(json["definitionKey"]),
    contentKey: optional(json["contentKey"], digest),
    site: string(json["site"]),
    name: string(json["name"]),
    parts: list(json["parts"]).map(part),
    listings: optional(json["listings"], (value) => list(value).map(listing)),
    layers: list(json["layers"]).map(layer),
    wallMs: number(json["wallMs"]),
    cpuMs: number(json["cpuMs"]),
    peakMemoryBytes: optional(json["peakMemoryBytes"], number),
    producer: string(json["producer"]),
    createdAtMs: number(json["createdAtMs"]),
  };
}

function part(value: unknown): KeyPart {
  const json = members(value);
  const { basis } = json;
  const files = optional(json["listing"], digest);
  const named = {
    name: string(json["name"]),
    value: string(json["value"]),
    ...(files === undefined ? {} : { listing: files }),
  };
  if (basis === undefined) return named;
  if (basis === "definition" || basis === "content" || basis === "note") return { ...named, basis };
  throw malformed(`it has a key part on ${JSON.stringify(basis)}`);
}

function listing(value: unknown): Pick<Descriptor, "digest" | "size"> {
  const json = members(value);
  return { digest: digest(json["digest"]), size: number(json["size"]) };
}

function layer(value: unknown): DocumentLayer {
  const json = members(value);
  return {
    diffId: digest(json["diffId"]),
    contentDigest: optional(json["contentDigest"], digest),
    tarSizeBytes: optional(json["tarSizeBytes"], number),
    runs: optional(json["runs"], runs),
    createdAtMs: number(json["createdAtMs"]),
    blob: optional(json["blob"], blob),
  };
}

function runs(value: unknown): string {
  const text = string(value);
  if (!/^(?:-?\d{1,19} -?\d{1,19}(?: |$))*$/.test(text)) throw malformed(`its times are ${JSON.stringify(text)}`);
  return text;
}

/**
 * Parses a blob of an entry.
 * @throws {BuildError} `cache/import-failed`
 */
export function blob(value: unknown): Pick<Descriptor, "mediaType" | "digest" | "size"> {
  const json = members(value);
  return { mediaType: string(json["mediaType"]), digest: digest(json["digest"]), size: number(json["size"]) };
}

export function members(value: unknown): Readonly<Record<string, unknown>> {
  if (!isRecord(value)) throw malformed("an object is missing");
  return value;
}

export function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed("a list is missing");
  return value;
}

export function string(value: unknown): string {
  if (typeof value !== "string") throw malformed("a text is missing");
  return value;
}

export function number(value: unknown): number {
  if (typeof value !== "number" || value < 0) throw malformed("a number is missing");
  return value;
}

export function digest(value: unknown): Digest {
  if (typeof value !== "string" || !isDigest(value)) throw malformed(`${JSON.stringify(value)} is not a sha256 digest`);
  return value;
}

function optional<T>(value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined ? undefined : read(value);
}

export function malformed(why: string): BuildError {
  return new BuildError("cache/import-failed", `Cannot read a cache entry: ${why}`);
}
