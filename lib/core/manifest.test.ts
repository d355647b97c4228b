import { expect, test } from "vitest";
import { BuildError } from "./errors.ts";
import { parseManifestDocument } from "./manifest.ts";
import { MEDIA_TYPES } from "./oci.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const descriptor = (more: object = {}): object => ({ mediaType: "x/y", digest: DIGEST, size: 1, ...more });
const index = (...manifests: readonly object[]): object => ({
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociIndex,
  manifests,
});
const manifest = (more: object = {}): object => ({
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociManifest,
  config: descriptor(),
  layers: [descriptor()],
  ...more,
});
const parse = (json: unknown): ReturnType<typeof parseManifestDocument> =>
  parseManifestDocument(Buffer.from(JSON.stringify(json)), "", '"app"');

test("what is absent may be null, as Go writes it", () => {
  const found = parse({ ...index(descriptor({ platform: null, annotations: null, urls: null })), annotations: null });
  expect(found).toEqual({ kind: "index", index: index(descriptor()) });
});

test("members of a platform that are left out are empty", () => {
  const found = parse(index(descriptor({ platform: { architecture: "arm" } })));
  expect(found).toMatchObject({ index: { manifests: [{ platform: { os: "", architecture: "arm" } }] } });
});

const platform = (more: object): object =>
  index(descriptor({ platform: { os: "linux", architecture: "arm", ...more } }));

test.each([
  { name: "no object", json: [], says: "not a JSON object" },
  { name: "the old schema", json: { schemaVersion: 1 }, says: "schema version 1" },
  { name: "another schema", json: { schemaVersion: 3 }, says: "schemaVersion is not 2" },
  { name: "another media type", json: { schemaVersion: 2, mediaType: "x/y" }, says: '"x/y" is not that of an image' },
  { name: "an index that is a manifest too", json: { ...index(), layers: [] }, says: "members of a manifest" },
  { name: "a manifest that is an index too", json: manifest({ manifests: [] }), says: "members of an index" },
  { name: "no layers", json: manifest({ layers: undefined }), says: "a list of descriptors is missing" },
  { name: "no config", json: manifest({ config: null }), says: "not an object" },
  {
    name: "a digest that leads elsewhere",
    json: index(descriptor({ digest: "sha256:../../x" })),
    says: "sha256 digest",
  },
  { name: "a negative size", json: index(descriptor({ size: -1 })), says: "no size" },
  { name: "a size beyond counting", json: index(descriptor({ size: 2 ** 60 })), says: "no size" },
  { name: "annotations that are no texts", json: index(descriptor({ annotations: { a: 1 } })), says: "annotations" },
  { name: "its own annotations so", json: { ...index(), annotations: { a: {} } }, says: "annotations are not texts" },
  { name: "one URL instead of some", json: index(descriptor({ urls: "http://x" })), says: "urls" },
  {
    name: "a platform with a number as os",
    json: index(descriptor({ platform: { os: 1, architecture: "arm" } })),
    says: "platform",
  },
  { name: "a variant that is a number", json: platform({ variant: 7 }), says: "platform" },
  { name: "a version that is a number", json: platform({ "os.version": 10 }), says: "platform" },
  { name: "one feature instead of some", json: platform({ "os.features": "win32k" }), says: "platform" },
])("refuses $name", ({ json, says }) => {
  try {
    parse(json);
  } catch (error) {
    expect(error).toBeInstanceOf(BuildError);
    expect(error).toMatchObject({ code: "registry/malformed", message: expect.stringContaining(says) as string });
    return;
  }
  throw new Error("It was taken");
});

test("members named like those that every object has are members like others", () => {
  const text = `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociIndex}","manifests":[
    {"mediaType":"x/y","digest":"${DIGEST}","size":1,"__proto__":{"a":1},"constructor":2,"toString":3}]}`;
  const found = parseManifestDocument(Buffer.from(text), "", '"app"');
  expect(found).toMatchObject({ kind: "index", index: { manifests: [{ digest: DIGEST }] } });
});
