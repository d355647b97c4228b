import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { digestOf } from "../../../lib/core/digest.ts";
import { MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { createRegistryClient } from "../../../lib/registry/client.ts";
import type { RegistryOptions } from "../../../lib/registry/registry.ts";
import { startTestRegistry, type TestRegistry } from "../../../test/support/registry.ts";
import type { ImageSource } from "../../ports.ts";
import { Workbench } from "../../testing/workbench.ts";
import { createImageSource } from "./image-source.ts";

const never = new AbortController().signal;
const AMD64 = { os: "linux", architecture: "amd64" };
const ARM64 = { os: "linux", architecture: "arm64" };
const needsRoot = process.getuid?.() === 0 ? undefined : "unpacking with owners needs root";

function sourceOf(bench: Workbench, options: Pick<RegistryOptions, "hosts" | "notice"> = {}): ImageSource {
  const client = createRegistryClient({
    credentials: { get: async () => undefined },
    userAgent: "kiln-test",
    clock: { nowMs: () => 0 },
    timer: { wait: async () => undefined },
    ...options,
  });
  return createImageSource({
    store: bench.store,
    native: bench.native,
    snapshotter: bench.snapshotter,
    registry: async () => client,
    objects: async () => Promise.reject(new Error("No layer is in a store of objects")),
    clusters: async () => Promise.reject(new Error("No layer is in a cluster")),
    progress: (event) => bench.events.push(event),
    clock: { nowMs: () => 0 },
  });
}

/** Makes a tar of files with GNU tar, so that ours is not tested against itself. */
function tarOf(bench: Workbench, name: string, files: Readonly<Record<string, string>>): Buffer {
  const directory = join(bench.directory, `tar-${name}`);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return execFileSync("tar", ["-C", directory, "--sort=name", "-cf", "-", ...Object.keys(files)], {
    maxBuffer: 1 << 26,
  });
}

interface Layer {
  readonly tar: Buffer;
  readonly blob: Buffer;
  readonly mediaType: string;
}

function addImage(
  registry: TestRegistry,
  tag: string,
  layers: readonly Layer[],
  over: { readonly architecture?: string; readonly diffIds?: readonly string[] } = {},
): string {
  const config = registry.addBlob(
    JSON.stringify({
      os: "linux",
      architecture: over.architecture ?? "amd64",
      config: { Env: ["A=1"], StrangeMember: 1 },
      rootfs: { type: "layers", diff_ids: over.diffIds ?? layers.map(({ tar }) => digestOf(tar)) },
    }),
  );
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, ...config },
    layers: layers.map(({ blob, mediaType }) => ({ mediaType, ...registry.addBlob(blob) })),
  };
  return registry.addManifest("team/app", tag, MEDIA_TYPES.ociManifest, JSON.stringify(manifest));
}

function twoLayers(bench: Workbench): Layer[] {
  const lower = tarOf(bench, "lower", { "etc/os": "lower", "etc/gone": "x" });
  const upper = tarOf(bench, "upper", { "etc/os": "upper", "etc/.wh.gone": "" });
  return [
    { tar: lower, blob: gzipSync(lower), mediaType: MEDIA_TYPES.ociLayerGzip },
    { tar: upper, blob: zstdCompressSync(upper), mediaType: MEDIA_TYPES.ociLayerZstd },
  ];
}

test.skipIf(needsRoot)("resolving fetches documents only; materialising unpacks all layers", async () => {
  await using bench = new Workbench();
  await using registry = await startTestRegistry();
  const layers = twoLayers(bench);
  const manifest = addImage(registry, "latest", layers);
  const images = sourceOf(bench);
  const name = `${registry.host}/team/app`;
  const image = await images.resolve(name, { platform: AMD64, mode: "default" }, never);
  expect(image).toMatchObject({ ref: `${name}:latest`, manifest, config: { config: { Env: ["A=1"] } } });
  const blobs = registry.requests.filter(({ path }) => path.includes("/blobs/"));
  expect(blobs).toHaveLength(1);
  const stack = await images.stack(image, never);
  expect(stack).toEqual(layers.map(({ tar }) => `layer-${digestOf(tar).slice(7)}`));
  await images.materialize(stack, "step", never);
  const [lower = "", upper = ""] = stack.map((id) => bench.snapshotter.pathOf(id));
  expect(readFileSync(join(lower, "etc/os"), "utf8")).toBe("lower");
  expect(readFileSync(join(upper, "etc/os"), "utf8")).toBe("upper");
  expect(lstatSync(join(upper, "etc/gone")).isCharacterDevice()).toBe(true);
  const digests = layers.map(({ blob }) => digestOf(blob)).toSorted();
  const items = bench.events.flatMap((event) => (event.kind === "status" && event.done ? event.item : []));
  expect(items.toSorted()).toEqual([...digests.map((digest) => `extracting ${digest}`), ...digests]);
});

test.skipIf(needsRoot)("what is known is not asked for again, and --pull asks", async () => {
  await using bench = new Workbench();
  await using registry = await startTestRegistry();
  addImage(registry, "latest", twoLayers(bench));
  const images = sourceOf(bench);
  const name = `${registry.host}/team/app`;
  const first = await images.resolve(name, { platform: AMD64, mode: "default" }, never);
  await images.materialize(await images.stack(first, never), undefined, never);
  registry.clearLog();
  const again = await images.resolve(name, { platform: AMD64, mode: "default" }, never);
  await images.materialize(await images.stack(again, never), undefined, never);
  expect(registry.requests).toEqual([]);
  const moved = addImage(registry, "latest", twoLayers(bench).slice(0, 1));
  const local = await images.resolve(name, { platform: AMD64, mode: "local" }, never);
  expect(local.manifest).toBe(first.manifest);
  const pulled = await images.resolve(name, { platform: AMD64, mode: "pull" }, never);
  expect(pulled.manifest).toBe(moved);
});

test("an index gives the platform's image, each fetched when wanted", async () => {
  await using bench = new Workbench();
  await using registry = await startTestRegistry();
  const members = ["amd64", "arm64"].map((architecture) => ({
    architecture,
    digest: addImage(registry, architecture, twoLayers(bench), { architecture }),
  }));
  const index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: members.map(({ architecture, digest }) => ({
      mediaType: MEDIA_TYPES.ociManifest,
      digest,
      size: registry.manifests.get(`team/app@${digest}`)?.bytes.length ?? 0,
      platform: { os: "linux", architecture },
    })),
  };
  registry.addManifest("team/app", "multi", MEDIA_TYPES.ociIndex, JSON.stringify(index));
  const images = sourceOf(bench);
  const name = `${registry.host}/team/app:multi`;
  const amd = await images.resolve(name, { platform: AMD64, mode: "default" }, never);
  const arm = await images.resolve(name, { platform: ARM64, mode: "default" }, never);
  expect([amd.manifest, arm.manifest]).toEqual(members.map(({ digest }) => digest));
  const other = images.resolve(name, { platform: { os: "linux", architecture: "s390x" }, mode: "default" }, never);
  await expect(other).rejects.toMatchObject({ code: "image/platform" });
});

describe("an index in an index", () => {
  const platform = { os: "linux", architecture: "amd64" };
  const wrap = (registry: TestRegistry, digest: string, tag: string, more: object): string => {
    const size = registry.manifests.get(`team/app@${digest}`)?.bytes.length;
    const manifests = [{ mediaType: MEDIA_TYPES.ociIndex, digest, size, ...more }];
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests };
    return registry.addManifest("team/app", tag, MEDIA_TYPES.ociIndex, JSON.stringify(index));
  };

  test.each([
    { name: "with a platform", more: { platform } },
    { name: "without one", more: {} },
    { name: "with half of one", more: { platform: { architecture: "amd64" } } },
  ])("leads to the image, $name, and is known then", async ({ more }) => {
    await using bench = new Workbench();
    await using registry = await startTestRegistry();
    const manifest = addImage(registry, "plain", twoLayers(bench));
    wrap(registry, wrap(registry, wrap(registry, manifest, "one", { platform }), "two", more), "three", more);
    for (const tag of ["one", "two", "three"]) {
      const name = `${registry.host}/team/app:${tag}`;
      const found = await sourceOf(bench).resolve(name, { platform: AMD64, mode: "default" }, never);
      expect(found.manifest).toBe(manifest);
      registry.clearLog();
      const again = await sourceOf(bench).resolve(name, { platform: AMD64, mode: "default" }, never);
      expect(again.manifest).toBe(manifest);
      expect(registry.requests).toEqual([]);
    }
  });

  test("of another platform, or in one of many more, is an error", async () => {
    await using bench = new Workbench();
    await using registry = await startTestRegistry();
    let digest = addImage(registry, "plain", twoLayers(bench));
    for (let depth = 0; depth < 8; depth += 1) digest = wrap(registry, digest, "deep", { platform });
    wrap(registry, digest, "arm", { platform: ARM64 });
    const resolve = async (tag: string): Promise<unknown> =>
      sourceOf(bench).resolve(`${registry.host}/team/app:${tag}`, { platform: AMD64, mode: "default" }, never);
    await expect(resolve("deep")).rejects.toMatchObject({ code: "registry/malformed" });
    await expect(resolve("arm")).rejects.toMatchObject({ code: "image/platform" });
  });
});

test.skipIf(needsRoot)("concurrent calls share the work", async () => {
  await using bench = new Workbench();
  await using registry = await startTestRegistry();
  addImage(registry, "latest", twoLayers(bench));
  const images = sourceOf(bench);
  const image = await images.resolve(`${registry.host}/team/app`, { platform: AMD64, mode: "default" }, never);
  const stack = await images.stack(image, never);
  registry.clearLog();
  const calls = [stack, stack.toReversed(), stack.slice(1)].map((part) => images.materialize(part, undefined, never));
  await Promise.all(calls);
  expect(registry.requests.filter(({ path }) => path.includes("/blobs/"))).toHaveLength(2);
});

test.skipIf(needsRoot)("a layer that was altered on the way is fetched once more, and not a third time", async () => {
  await using bench = new Workbench();
  await using registry = await startTestRegistry();
  addImage(registry, "latest", twoLayers(bench));
  const images = sourceOf(bench);
  const image = await images.resolve(`${registry.host}/team/app`, { platform: AMD64, mode: "default" }, never);
  const stack = await images.stack(image, never);
  const [lowest, upper] = [stack.slice(0, 1), stack.slice(1)];
  registry.fail({ method: "GET", path: /blobs/, kind: { kind: "alter" } });
  await images.materialize(lowest, undefined, never);
  registry.fail({ method: "GET", path: /blobs/, kind: { kind: "alter" }, times: 2 });
  await expect(images.materialize(upper, undefined, never)).rejects.toMatchObject({ code: "digest/mismatch" });
  await images.materialize(upper, undefined, never);
  expect(bench.store.snapshots.getMany(stack).map((row) => row.state)).toEqual(["present", "present"]);
});

test.skipIf(needsRoot)(
  "a mirror that sends other bytes is passed over, for configurations and for layers",
  async () => {
    for (const path of [/blobs/, /./]) {
      await using bench = new Workbench();
      await using registry = await startTestRegistry();
      await using mirror = await startTestRegistry();
      addImage(registry, "latest", twoLayers(bench));
      addImage(mirror, "latest", twoLayers(bench));
      const notices: string[] = [];
      const hosts = new Map([[registry.host, { mirrors: [mirror.host] }]]);
      const images = sourceOf(bench, { hosts, notice: (line) => notices.push(line) });
      mirror.fail({ method: "GET", path, kind: { kind: "alter" }, times: 100 });
      const image = await images.resolve(`${registry.host}/team/app`, { platform: AMD64, mode: "default" }, never);
      await images.materialize(await images.stack(image, never), undefined, never);
      expect(notices).toHaveLength(1);
    }
  },
);

test.skipIf(needsRoot)("a mirror that alters only layers is passed over", async () => {
  await using bench = new Workbench();
  await using registry = await startTestRegistry();
  await using mirror = await startTestRegistry();
  addImage(registry, "latest", twoLayers(bench));
  addImage(mirror, "latest", twoLayers(bench));
  const notices: string[] = [];
  const hosts = new Map([[registry.host, { mirrors: [mirror.host] }]]);
  const images = sourceOf(bench, { hosts, notice: (line) => notices.push(line) });
  const image = await images.resolve(`${registry.host}/team/app`, { platform: AMD64, mode: "default" }, never);
  mirror.fail({ method: "GET", path: /blobs/, kind: { kind: "alter" }, times: 100 });
  await images.materialize(await images.stack(image, never), undefined, never);
  expect(notices).toEqual([expect.stringContaining("it sent other bytes")]);
});

test.skipIf(needsRoot).each(["uncompressed", "said to be gzip"])(
  "a layer without bytes is an empty one, %s",
  async (how) => {
    await using bench = new Workbench();
    await using registry = await startTestRegistry();
    const nothing = Buffer.alloc(0);
    const mediaType = how === "uncompressed" ? MEDIA_TYPES.ociLayer : MEDIA_TYPES.ociLayerGzip;
    addImage(registry, "latest", [{ tar: nothing, blob: nothing, mediaType }, ...twoLayers(bench)]);
    const images = sourceOf(bench);
    const image = await images.resolve(`${registry.host}/team/app`, { platform: AMD64, mode: "default" }, never);
    const stack = await images.stack(image, never);
    await images.materialize(stack, undefined, never);
    expect(readdirSync(bench.snapshotter.pathOf(stack[0] ?? ("" as never)))).toEqual([]);
  },
);

test.skipIf(needsRoot)("a layer with another tar than in the configuration leaves nothing", async () => {
  await using bench = new Workbench();
  await using registry = await startTestRegistry();
  const layers = twoLayers(bench);
  const wrong = digestOf("something else");
  addImage(registry, "latest", layers, { diffIds: [digestOf(layers[0]?.tar ?? ""), wrong] });
  const images = sourceOf(bench);
  const image = await images.resolve(`${registry.host}/team/app`, { platform: AMD64, mode: "default" }, never);
  const stack = await images.stack(image, never);
  await expect(images.materialize(stack, undefined, never)).rejects.toMatchObject({ code: "digest/mismatch" });
  expect(bench.store.snapshots.getMany(stack).map((row) => row.state)).toEqual(["absent", "absent"]);
});

test.skipIf(needsRoot).each([
  { name: "before it was unpacked", isTried: false },
  { name: "after its own blob was tried", isTried: true },
])("an image that claims the layer of another does no harm to the other, $name", async ({ isTried }) => {
  await using bench = new Workbench();
  await using registry = await startTestRegistry();
  const [lower, upper] = twoLayers(bench);
  if (lower === undefined || upper === undefined) throw new Error("two layers");
  const images = sourceOf(bench);
  const diffIds = [digestOf(lower.tar)];
  // Some are listed before the true blob, some behind.
  for (const text of ["no tar at all", "nor this", "nor that", "one more"]) {
    const tar = text === "one more" ? upper.tar : Buffer.from(text);
    addImage(registry, "evil", [{ tar, blob: gzipSync(tar), mediaType: MEDIA_TYPES.ociLayerGzip }], { diffIds });
    const evil = await images.resolve(`${registry.host}/team/app:evil`, { platform: AMD64, mode: "pull" }, never);
    const stack = await images.stack(evil, never);
    const codes = expect.stringMatching(/^(?:archive\/malformed|digest\/mismatch)$/) as string;
    if (isTried) await expect(images.materialize(stack, undefined, never)).rejects.toMatchObject({ code: codes });
  }
  addImage(registry, "good", [lower]);
  const good = await images.resolve(`${registry.host}/team/app:good`, { platform: AMD64, mode: "default" }, never);
  const stack = await images.stack(good, never);
  await images.materialize(stack, undefined, never);
  expect(readFileSync(join(bench.snapshotter.pathOf(stack[0] ?? ("" as never)), "etc/os"), "utf8")).toBe("lower");
  const digests = bench.store.snapshots.layerBlobs(diffIds[0] ?? ("" as never)).map((one) => one.descriptor.digest);
  expect(digests).toContain(digestOf(lower.blob));
  if (isTried) expect(digests).toEqual([digestOf(lower.blob)]);
});

test.skipIf(needsRoot)("directories that a layer only implies keep what the layer below says of them", async () => {
  await using bench = new Workbench();
  await using registry = await startTestRegistry();
  const directory = join(bench.directory, "tree");
  mkdirSync(join(directory, "home/me"), { recursive: true });
  writeFileSync(join(directory, "home/me/file"), "x");
  const tar = (...args: string[]): Buffer =>
    execFileSync("tar", ["-C", directory, "--owner=7", "--mode=0700", "-cf", "-", ...args]);
  const tars = [tar("--no-recursion", "home", "home/me"), tar("home/me/file")];
  addImage(
    registry,
    "latest",
    tars.map((layer) => ({ tar: layer, blob: layer, mediaType: MEDIA_TYPES.ociLayer })),
  );
  const images = sourceOf(bench);
  const image = await images.resolve(`${registry.host}/team/app`, { platform: AMD64, mode: "default" }, never);
  const stack = await images.stack(image, never);
  await images.materialize(stack, undefined, never);
  const status = lstatSync(join(bench.snapshotter.pathOf(stack[1] ?? ("" as never)), "home/me"));
  expect({ uid: status.uid, mode: status.mode & 0o7777 }).toEqual({ uid: 7, mode: 0o700 });
});

test("an artifact that is no image is refused", async () => {
  await using bench = new Workbench();
  await using registry = await startTestRegistry();
  addImage(registry, "latest", twoLayers(bench), { diffIds: [] });
  const resolving = sourceOf(bench).resolve(`${registry.host}/team/app`, { platform: AMD64, mode: "default" }, never);
  await expect(resolving).rejects.toMatchObject({ code: "image/config" });
});
