import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Digest, digestOf } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { formatReference, parseReference } from "../../../lib/core/reference.ts";
import { locateNative } from "../../../lib/native/locate.ts";
import { type OpenStore, openStore } from "../../../lib/store/open-store.ts";
import { removeImage } from "./remove-images.ts";

let root = "";
let store: OpenStore;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kiln-rmi-"));
  store = openStore(root, { native: locateNative(), clock: { nowMs: () => 0 } });
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(root, { recursive: true });
});

const full = (name: string): string => formatReference(parseReference(name));

/** An image of no layers. `form` makes another manifest for the same configuration. */
function put(text: string, names: readonly string[], form = ""): { readonly id: Digest; readonly manifest: Digest } {
  const config = JSON.stringify({
    os: "linux",
    architecture: "amd64",
    config: { Labels: { text } },
    rootfs: { type: "layers", diff_ids: [] },
  });
  const image = store.images.put({
    manifest: JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
      layers: [],
      annotations: { form },
    }),
    config,
    mediaType: MEDIA_TYPES.ociManifest,
    layers: [],
    names: names.map(full),
  });
  return { id: image.configDigest, manifest: image.manifestDigest };
}

function putIndex(members: readonly Digest[], names: readonly string[]): Digest {
  const manifests = members.map((digest) => ({ mediaType: MEDIA_TYPES.ociManifest, digest, size: 1 }));
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests };
  return store.images.putIndex({ bytes: JSON.stringify(index), names: names.map(full) }).digest;
}

const names = (): string[] => store.refs.list().map(({ name }) => name.replace("docker.io/library/", ""));
const left = (): number => store.images.list().length;
const failure = (text: string, how: "asked" | "forced" = "asked"): BuildError => {
  try {
    removeImage(store, text, how);
  } catch (error) {
    if (error instanceof BuildError) return error;
    throw error;
  }
  throw new Error("It did not fail");
};

test("a name goes, and the image with its last one", () => {
  put("a", ["app:1", "app:2"]);
  expect(removeImage(store, "app:1", "asked")).toEqual({ untagged: ["app:1"], deleted: [] });
  expect(removeImage(store, "app:2", "asked").deleted).toHaveLength(1);
  expect([names(), left()]).toEqual([[], 0]);
});

test("an id takes all names of one repository", () => {
  const { id } = put("a", ["app:1", "app:2"]);
  expect(removeImage(store, id.slice(7, 19), "asked").untagged).toEqual(["app:1", "app:2"]);
  expect([names(), left()]).toEqual([[], 0]);
});

test.each(["id", "prefix", "manifest"])("an image with names in several repositories stays (by %s)", (by) => {
  const { id, manifest } = put("a", ["app:1", "other:1"]);
  const text = by === "id" ? id : by === "prefix" ? id.slice(7, 19) : manifest;
  const error = failure(text);
  expect(error.code).toBe("image/in-use");
  expect(error.message).toContain('it has names in 2 repositories: "app:1", "other:1"');
  expect(names()).toEqual(["app:1", "other:1"]);
  expect(removeImage(store, text, "forced").untagged).toEqual(["app:1", "other:1"]);
  expect([names(), left()]).toEqual([[], 0]);
});

test("an id is that of all its manifests", () => {
  const { id } = put("a", ["app:1"]);
  put("a", ["registry.example/app:1"], "compressed");
  expect(failure(id).code).toBe("image/in-use");
  expect(removeImage(store, id, "forced").deleted).toHaveLength(2);
  expect([names(), left()]).toEqual([[], 0]);
  put("a", ["app:1"]);
  put("a", ["app:2"], "compressed");
  removeImage(store, id, "asked");
  expect([names(), left()]).toEqual([[], 0]);
});

test("an image that an index lists stays with it", () => {
  const members = [put("a", []), put("b", [])];
  putIndex(
    members.map(({ manifest }) => manifest),
    ["multi:1"],
  );
  const [first] = members;
  const error = failure(first?.id ?? "");
  expect(error).toMatchObject({ code: "image/in-use", message: expect.stringContaining('"multi:1" lists it') });
  expect(removeImage(store, first?.id ?? "", "forced").untagged).toEqual(["multi:1"]);
  expect([names(), left()]).toEqual([[], 0]);
});

test("an index goes with the images that nothing else leads to", () => {
  const [a, b] = [put("a", []), put("b", ["kept:1"])];
  putIndex([a.manifest, b.manifest], ["multi:1"]);
  expect(removeImage(store, "multi:1", "asked").deleted).toHaveLength(2);
  expect([names(), left()]).toEqual([["kept:1"], 1]);
});

test("what is not here is said so", () => {
  expect(failure("nosuch:1", "forced").code).toBe("image/not-found");
  expect(failure("0123456789ab").code).toBe("image/not-found");
});
