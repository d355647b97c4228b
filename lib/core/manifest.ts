import { isDigest } from "./digest.ts";
import { BuildError } from "./errors.ts";
import { isRecord, parseJson } from "./json.ts";
import { type Descriptor, type Index, type Manifest, MEDIA_TYPES } from "./oci.ts";

/** Limit in bytes: registries and other clients refuse larger ones. OCI distribution-spec, "Pushing Manifests". */
export const MAX_MANIFEST_BYTES = 4 << 20;

/** The content of a manifest's bytes: one image, or an index of several. */
export type ManifestDocument =
  | { readonly kind: "manifest"; readonly manifest: Manifest }
  | { readonly kind: "index"; readonly index: Index };

/**
 * Parses a manifest or index. The specification allows documents without a `mediaType` member; they get the media type
 * of their delivery, `mediaType`.
 * @throws {BuildError} `registry/malformed`; `where` names the image, as in `"alpine:3.20"`.
 */
export function parseManifestDocument(bytes: Uint8Array, mediaType: string, where: string): ManifestDocument {
  const bad = (why: string, hint?: string): BuildError =>
    new BuildError("registry/malformed", `Cannot read the manifest of ${where}: ${why}`, { hint });
  const json = parseJson(new TextDecoder().decode(bytes));
  if (!isRecord(json)) throw bad("it is not a JSON object");
  if (json["schemaVersion"] === 1) {
    throw bad("it has the old format of schema version 1", "push the image again with a builder of this decade");
  }
  if (json["schemaVersion"] !== 2) throw bad("its schemaVersion is not 2");
  const type = typeof json["mediaType"] === "string" ? json["mediaType"] : mediaType;
  const isIndex = type === MEDIA_TYPES.ociIndex || type === MEDIA_TYPES.dockerIndex;
  const isManifest = type === MEDIA_TYPES.ociManifest || type === MEDIA_TYPES.dockerManifest;
  // A document that can be read as an index and as a manifest means different images to different readers
  // (CVE-2021-41190).
  if (isIndex && ("config" in json || "layers" in json)) throw bad("it is an index that has members of a manifest");
  if (isManifest && "manifests" in json) throw bad("it is a manifest that has members of an index");
  if (json["annotations"] === null) delete json["annotations"];
  if ("annotations" in json && !areMembersTexts(json["annotations"])) throw bad("its annotations are not texts");
  if (isIndex) {
    const manifests = descriptors(json["manifests"], bad);
    return { kind: "index", index: { ...json, schemaVersion: 2, mediaType: type, manifests } };
  }
  if (isManifest) {
    const [config] = descriptors([json["config"]], bad);
    if (config === undefined) throw bad("it has no config");
    const layers = descriptors(json["layers"], bad);
    return { kind: "manifest", manifest: { ...json, schemaVersion: 2, mediaType: type, config, layers } };
  }
  throw bad(`its media type ${JSON.stringify(type)} is not that of an image`);
}

const isText = (value: unknown): boolean => typeof value === "string";
const isMaybeText = (value: unknown): boolean => value === undefined || isText(value);
const areTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
const areMembersTexts = (value: unknown): boolean => isRecord(value) && Object.values(value).every(isText);

/** Type tests for optional members of a descriptor. */
const PROPER: ReadonlyMap<string, (value: unknown) => boolean> = new Map([
  ["annotations", areMembersTexts],
  ["artifactType", isText],
  ["data", isText],
  ["urls", areTexts],
  ["platform", isPlatform],
]);

function isPlatform(value: unknown): boolean {
  return (
    isRecord(value) &&
    isMaybeText(value["os"]) &&
    isMaybeText(value["architecture"]) &&
    isMaybeText(value["variant"]) &&
    isMaybeText(value["os.version"]) &&
    (value["os.features"] === undefined || areTexts(value["os.features"]))
  );
}

function descriptors(value: unknown, bad: (why: string) => BuildError): Descriptor[] {
  if (!Array.isArray(value)) throw bad("a list of descriptors is missing");
  return value.map((item: unknown) => {
    if (!isRecord(item)) throw bad("a descriptor is not an object");
    const { mediaType, digest, size } = item;
    if (typeof mediaType !== "string") throw bad("a descriptor has no media type");
    if (typeof digest !== "string" || !isDigest(digest)) throw bad(`${JSON.stringify(digest)} is not a sha256 digest`);
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw bad("a descriptor has no size");
    // Go writes `null` for an absent member.
    const members = Object.entries(item).filter(([, member]) => member !== null);
    for (const [name, member] of members) {
      if (PROPER.get(name)?.(member) === false) throw bad(`a descriptor's ${name} is not what it has to be`);
    }
    const { platform, ...rest } = Object.fromEntries(members);
    // Some tools leave empty members out.
    const whole = isRecord(platform) ? { platform: { os: "", architecture: "", ...platform } } : {};
    return { ...rest, ...whole, mediaType, digest, size };
  });
}
