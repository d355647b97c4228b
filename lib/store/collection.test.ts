import { snapshotId } from "./snapshot-id.ts";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startScript } from "../../test/support/script.ts";
import { type Digest, digestOf } from "../core/digest.ts";
import { MEDIA_TYPES } from "../core/oci.ts";
import { locateNative } from "../native/locate.ts";
import { fsck } from "./fsck.ts";
import type { CacheRecord, SnapshotId } from "./model.ts";
import { openStore, type OpenStore } from "./open-store.ts";
import { keepWithinLimit } from "./limit.ts";
import { prune, type PruneOptions, type PruneResult } from "./prune.ts";
import { usage } from "./usage.ts";

const signal = new AbortController().signal;
const DAY_MS = 24 * 3600 * 1000;
let root: string;
let now: number;
let store: OpenStore;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kiln-store-"));
  now = 1_700_000_000_000;
  store = openHere();
});

afterEach(async () => {
  await store[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

function openHere(): OpenStore {
  return openStore(root, { native: locateNative(), clock: { nowMs: () => now } });
}

/** Closes and reopens the store: it holds every item it returned until then. Another process's collection begins here. */
async function reopen(): Promise<void> {
  await store[Symbol.asyncDispose]();
  store = openHere();
}

async function collect(options: PruneOptions = {}): Promise<PruneResult> {
  await reopen();
  return prune(store, options, signal);
}

/** Reports the free space of a disk that only this test writes. */
const freeBytes = (): number => 1e12;

function snapshot(name: string, kilobytes: number): SnapshotId {
  const directory = join(store.layout.snapshots, name);
  mkdirSync(directory);
  writeFileSync(join(directory, "file"), Buffer.alloc(kilobytes * 1024, name));
  return snapshotId(name);
}

/** Records a step that made a layer of some kilobytes on top of others, in some seconds. */
function step(name: string, below: readonly string[], kilobytes: number, seconds: number): CacheRecord {
  const made = snapshot(name, kilobytes);
  const listing = store.blobs.put(`listing of ${name}`).digest;
  return store.records.insert(
    {
      id: `record-${name}`,
      definitionKey: digestOf(name),
      contentKey: undefined,
      site: name,
      name: `RUN ${name}`,
      parts: [{ name: "files", value: listing, listing }],
      layers: [...below.map(snapshotId), made],
      wallMs: seconds * 1000,
      cpuMs: 1,
      peakMemoryBytes: undefined,
      logFile: undefined,
      producer: "local",
    },
    { snapshots: [{ id: made, state: "present" }] },
  );
}

function image(name: string | undefined, layers: readonly string[]): Digest {
  const diffIds = layers.map((layer) => digestOf(layer));
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
    layers: diffIds.map((digest) => ({ mediaType: MEDIA_TYPES.ociLayer, digest, size: 1 })),
  });
  return store.images.put({
    manifest,
    config,
    mediaType: MEDIA_TYPES.ociManifest,
    layers: layers.map(snapshotId),
    names: name === undefined ? [] : [name],
  }).manifestDigest;
}

/** Inserts a layer that a registry has, with its files here. */
function pulled(name: string, kilobytes: number): SnapshotId {
  const id = snapshot(name, kilobytes);
  const diffId = digestOf(name);
  store.snapshots.insert([{ id, state: "present", diffId }]);
  const descriptor = { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf(`gzip ${name}`), size: 10 };
  store.snapshots.addLayerBlob({ diffId, descriptor, repository: "docker.io/library/base" });
  return id;
}

function layersHere(): readonly string[] {
  return readdirSync(store.layout.snapshots);
}

describe("collection", () => {
  test("a base image that builds pulled goes with what can be had again, and not before", async () => {
    const digest = image(undefined, []);
    store.pulled.answered("docker.io/library/base:1", { mediaType: MEDIA_TYPES.ociManifest, digest, size: 1 });
    const other = image(undefined, [pulled("other", 1)]);
    await collect();
    expect([store.images.get(digest) !== undefined, store.images.get(other)]).toEqual([true, undefined]);
    await collect({ all: true });
    await reopen();
    expect(store.images.get(digest)).toBeUndefined();
  });

  test("takes steps from the leaves down and keeps what a named image needs", async () => {
    step("a", [], 10, 1);
    step("b", ["a"], 10, 1);
    step("c", ["a", "b"], 10, 1);
    step("other", ["a"], 10, 1);
    image("docker.io/library/app:latest", ["a", "b"]);
    const { victims } = await collect();
    expect(layersHere()).toEqual(["a", "b"]);
    const taken = victims.map((victim) => (victim.kind === "step" ? victim.snapshot : victim.kind));
    expect(new Set(taken)).toEqual(new Set(["c", "other"]));
    expect(store.records.get("record-b")?.layers).toEqual(["a", "b"]);
    expect(store.records.findByDefinitionKey(digestOf("c"))).toBeUndefined();
    expect(store.records.wasPruned(digestOf("c"))).toBe(true);
    expect(store.records.wasPruned(digestOf("b"))).toBe(false);
    expect((await fsck(store, { repair: false }, signal)).problems).toEqual([]);
  });

  test("under a limit gives up what is cheapest to have again for the space it takes", async () => {
    step("slow", [], 100, 60);
    step("quick", [], 100, 1);
    step("small", [], 4, 1);
    await reopen();
    const { totalBytes } = await usage(store, signal);
    const { victims, freedBytes } = await collect({ keepBytes: totalBytes - 50 * 1024 });
    expect(victims.map((victim) => victim.kind === "step" && victim.snapshot)).toEqual(["quick"]);
    expect(freedBytes).toBeGreaterThan(100 * 1024);
    expect(layersHere()).toEqual(["slow", "small"]);
  });

  test("values what was not used for long less and less", async () => {
    step("slow-but-old", [], 100, 60);
    now += 30 * DAY_MS;
    step("quick", [], 100, 1);
    await reopen();
    const { totalBytes } = await usage(store, signal);
    await collect({ keepBytes: totalBytes - 50 * 1024 });
    expect(layersHere()).toEqual(["quick"]);
  });

  test("can be limited to what was last used long ago, and to kinds", async () => {
    step("old", [], 4, 1);
    now += 2 * DAY_MS;
    step("new", [], 4, 1);
    const claim = await store.cacheMounts.claim("apt", "shared", signal);
    claim.seeded();
    claim[Symbol.dispose]();
    await collect({ kinds: new Set(["cache-mount"]) });
    expect(layersHere()).toEqual(["new", "old"]);
    expect(store.cacheMounts.list()).toEqual([]);
    await collect({ usedBeforeMs: now - DAY_MS });
    expect(layersHere()).toEqual(["new"]);
  });

  test("says what would go without touching it", async () => {
    step("a", [], 10, 1);
    await reopen();
    const dry = await prune(store, { dryRun: true }, signal);
    expect(dry.victims).toHaveLength(1);
    expect(dry.freedBytes).toBeGreaterThan(10 * 1024);
    expect(layersHere()).toEqual(["a"]);
    const wet = await collect();
    expect(wet.victims).toEqual(dry.victims);
    expect(wet.freedBytes).toBeGreaterThanOrEqual(dry.freedBytes);
  });

  test("lets go of a pulled layer's files where the registry has them, and keeps the row", async () => {
    const id = pulled("base", 100);
    image("docker.io/library/base:latest", [id]);
    await collect();
    expect(layersHere()).toEqual(["base"]);
    await collect({ all: true });
    expect(layersHere()).toEqual([]);
    expect(store.snapshots.get(id)?.state).toBe("absent");
    expect(store.images.find("base")).toMatchObject({ kind: "image" });
  });

  test("keeps a compressed layer that is all there is of it", async () => {
    const diffId = digestOf("loaded");
    const blob = store.blobs.put("the layer as it came");
    store.snapshots.insert([{ id: snapshotId("loaded"), state: "absent", diffId }]);
    const descriptor = { mediaType: MEDIA_TYPES.ociLayerGzip, ...blob };
    store.snapshots.addLayerBlob({ diffId, descriptor, repository: undefined });
    image("docker.io/library/loaded:latest", ["loaded"]);
    await collect({ all: true });
    expect(store.blobs.has(blob.digest)).toBe(true);
    store.snapshots.addLayerBlob({ diffId, descriptor, repository: "docker.io/library/loaded" });
    await collect({ all: true });
    expect(store.blobs.has(blob.digest)).toBe(false);
    expect((await fsck(store, { repair: false }, signal)).problems).toEqual([]);
  });

  test.each([
    { origin: "image", isKept: true },
    { origin: "tar", isKept: true },
    { origin: "step", isKept: false },
  ] as const)(
    "unpacked, the blob of a layer from a $origin is kept: $isKept; what was compressed from it goes",
    async ({ origin, isKept }) => {
      const diffId = digestOf("loaded");
      const name = { image: "layer-loaded", tar: "built-loaded", step: "loaded" }[origin];
      const id = snapshot(name, 10);
      store.snapshots.insert([{ id, state: "present", diffId }]);
      const blobs = ["the layer as it came", "the layer as gzip"].map((text) => store.blobs.put(text));
      for (const blob of blobs) {
        const descriptor = { mediaType: MEDIA_TYPES.ociLayerGzip, ...blob };
        store.snapshots.addLayerBlob({ diffId, descriptor, repository: undefined });
      }
      const digests = blobs.map(({ digest }) => digest);
      store.facts.set("compressed-layer", "gzip", { value: new Uint8Array(), blobs: digests.slice(1) });
      image("docker.io/library/loaded:latest", [name]);
      await collect();
      expect(digests.map((digest) => store.blobs.has(digest))).toEqual([isKept, false]);
      expect((await fsck(store, { repair: false }, signal)).problems).toEqual([]);
    },
  );

  test("removes images without a name, their layers and their documents", async () => {
    const id = pulled("base", 10);
    const digest = image(undefined, [id]);
    await collect();
    expect(store.images.get(digest)).toBeUndefined();
    expect(store.snapshots.get(id)).toBeUndefined();
    expect(layersHere()).toEqual([]);
    expect(readdirSync(store.layout.blobs)).toEqual([]);
  });

  test("removes what a killed process left, and its own leavings", async () => {
    mkdirSync(join(store.layout.snapshots, "active-1", "upper"), { recursive: true });
    writeFileSync(join(store.layout.blobs, "new-1"), "half");
    writeFileSync(join(store.layout.logs, "old.log"), "text");
    writeFileSync(join(store.layout.running, "dead"), "0\nsnapshot:x\n");
    store.blobs.put("garbage");
    const { garbageBytes } = await collect();
    expect(garbageBytes).toBeGreaterThan(0);
    expect([layersHere(), readdirSync(store.layout.blobs), readdirSync(store.layout.logs)]).toEqual([[], [], []]);
    expect(readdirSync(join(root, "trash"))).toEqual([]);
    expect(readdirSync(store.layout.running)).toHaveLength(2);
  });

  test("leaves alone what a running process was handed, is making, or has mounted", async () => {
    step("used", [], 10, 1);
    step("unused", [], 10, 1);
    await reopen();
    await using other = startScript(`
      import { openStore } from "ROOT/lib/store/open-store.ts";
      import { digestOf } from "ROOT/lib/core/digest.ts";
      import { loadNative } from "ROOT/lib/native/load.ts";
      import { mkdirSync } from "node:fs";
      const store = openStore(${JSON.stringify(root)}, { native: loadNative("ROOT/build/kiln.node"), clock: { nowMs: () => ${now} } });
      store.records.findByDefinitionKey(digestOf("used"));
      store.holds.claim(["snapshot:active-1"]);
      mkdirSync(store.layout.snapshots + "/active-1");
      store.blobs.put("being made");
      (await store.cacheMounts.claim("apt", "locked", new AbortController().signal)).seeded();
      process.stdout.write("working\\n");
      await new Promise((resolve) => process.stdin.once("data", resolve));
    `);
    await other.line();
    await collect({ all: true });
    expect(layersHere()).toEqual(["active-1", "used"]);
    expect(store.records.findByDefinitionKey(digestOf("used"))).toBeDefined();
    expect(store.blobs.has(digestOf("being made"))).toBe(true);
    expect(store.cacheMounts.list()).toHaveLength(1);
    other.kill();
    await other.ended();
    await collect({ all: true });
    expect(layersHere()).toEqual([]);
    expect(store.cacheMounts.list()).toEqual([]);
    expect(store.blobs.has(digestOf("being made"))).toBe(false);
  });

  test("takes hundreds away from under a process that builds on some of them and adds its own", async () => {
    store.database.transaction(() => {
      for (let n = 0; n < 240; n += 1) step(`old-${n}`, [], 1, 1);
    });
    await reopen();
    await using other = startScript(`
      import { openStore } from "ROOT/lib/store/open-store.ts";
      import { digestOf } from "ROOT/lib/core/digest.ts";
      import { loadNative } from "ROOT/lib/native/load.ts";
      import { mkdirSync } from "node:fs";
      const open = () => openStore(${JSON.stringify(root)}, { native: loadNative("ROOT/build/kiln.node"), clock: { nowMs: () => ${now} } });
      process.stdout.write("working\\n");
      // Each round is a build: it finds a result, stands on it, and is gone before the collector looks again.
      for (let n = 0; n < 24; n += 1) {
        const store = open();
        const found = store.records.findByDefinitionKey(digestOf("old-" + (n * 10)));
        mkdirSync(store.layout.snapshots + "/new-" + n);
        store.records.insert({ id: "new-" + n, definitionKey: digestOf("new-" + n), site: "s", name: "n", parts: [], layers: [...(found?.layers ?? []), "new-" + n],
          wallMs: 1, cpuMs: 1, producer: "local" }, { snapshots: [{ id: "new-" + n, state: "present" }] });
        await store[Symbol.asyncDispose]();
      }
      process.stdout.write("done\\n");
    `);
    await other.line();
    await collect({ kinds: new Set(["step"]) });
    await other.line();
    expect((await fsck(store, { repair: false }, signal)).problems).toEqual([]);
    for (const record of store.records.list()) {
      expect(store.snapshots.getMany(record.layers)).toHaveLength(record.layers.length);
      for (const layer of record.layers) expect(layersHere()).toContain(layer);
    }
    await collect();
    expect(layersHere()).toEqual([]);
    expect((await fsck(store, { repair: false }, signal)).garbage).toBe(0);
  });

  test("of everything keeps what costs little and saves reading every context again", async () => {
    const fetched = store.blobs.put("fetched").digest;
    store.facts.saveStatIndex("/context", Buffer.from("index"));
    store.facts.set("http", "url", { value: Buffer.from("etag"), blobs: [fetched] });
    await collect({ all: true });
    expect(store.facts.loadStatIndex("/context")).toBeDefined();
    expect(store.facts.get("http", "url")).toBeUndefined();
    expect(store.blobs.has(fetched)).toBe(false);
  });
});

describe("a limit", () => {
  test("is kept by giving up what is worth least, and costs nothing while it is far away", async () => {
    for (let n = 0; n < 10; n += 1) step(`s${n}`, [], 100, n + 1);
    await reopen();
    expect(await keepWithinLimit(store, { limitBytes: 1e9, freeBytes }, signal)).toBeUndefined();
    // Far from the limit: nothing is measured. Otherwise an unmeasured file would count.
    expect(await keepWithinLimit(store, { limitBytes: 1e9, freeBytes }, signal)).toBeUndefined();
    const { totalBytes } = await usage(store, signal);
    const collected = await keepWithinLimit(store, { limitBytes: totalBytes - 150 * 1024, freeBytes }, signal);
    expect(collected?.victims.length).toBeGreaterThan(0);
    expect(layersHere()).not.toContain("s0");
    expect(layersHere()).toContain("s9");
    expect((await usage(store, signal)).totalBytes).toBeLessThan(totalBytes - 150 * 1024);
  });

  test("that cannot be kept is not tried again until the store has grown", async () => {
    step("needed", [], 500, 1);
    image("docker.io/library/app:latest", ["needed"]);
    await reopen();
    expect(await keepWithinLimit(store, { limitBytes: 1000, freeBytes }, signal)).toBeDefined();
    expect(await keepWithinLimit(store, { limitBytes: 1000, freeBytes }, signal)).toBeUndefined();
    expect(layersHere()).toEqual(["needed"]);
  });
});

describe("usage", () => {
  test("is what du says, and each byte belongs to one item", async () => {
    step("a", [], 100, 1);
    step("b", ["a"], 50, 1);
    image("docker.io/library/app:latest", ["a", "b", pulled("base", 30)]);
    const claim = await store.cacheMounts.claim("apt", "shared", signal);
    writeFileSync(join(claim.directory, "file"), Buffer.alloc(20_000));
    claim[Symbol.dispose]();
    const measured = await usage(store, signal);
    const du = Number(execFileSync("du", ["-s", "--block-size=1", root], { encoding: "utf8" }).split("\t")[0]);
    expect(Math.abs(measured.totalBytes - du) / du).toBeLessThan(0.02);
    const sum = measured.items.reduce((total, item) => total + item.bytes, measured.otherBytes);
    expect(sum).toBe(measured.totalBytes);
    expect(measured.items.map(({ kind, description }) => `${kind} ${description}`)).toEqual([
      "step RUN a",
      "step RUN b",
      "image docker.io/library/app:latest",
      "cache-mount apt",
    ]);
  });

  test("counts a file that two layers share once, for the newer one", async () => {
    step("a", [], 100, 1);
    mkdirSync(join(store.layout.snapshots, "b"));
    execFileSync("ln", [join(store.layout.snapshots, "a", "file"), join(store.layout.snapshots, "b", "file")]);
    now += 1;
    store.snapshots.insert([{ id: snapshotId("b"), state: "present" }]);
    const { items } = await usage(store, signal);
    expect(items.find(({ id }) => id === "b")?.bytes).toBeGreaterThan(100 * 1024);
    expect(items.find(({ kind }) => kind === "step")?.bytes).toBeLessThan(100 * 1024);
  });
});

describe("fsck", () => {
  test("finds a damaged blob and removes it with the image that needs it", async () => {
    const digest = image("docker.io/library/app:latest", [pulled("base", 1)]);
    writeFileSync(store.blobs.pathOf(digest), "damaged");
    const found = await fsck(store, { repair: true }, signal);
    expect(found.problems.map(({ kind }) => kind)).toEqual(["blob-damaged", "image-broken", "ref-broken"]);
    expect(existsSync(store.blobs.pathOf(digest))).toBe(false);
    expect((await fsck(store, { repair: false }, signal)).problems).toEqual([]);
  });

  test("removes what stands in a blob's place, which until then is an error and no bug", async () => {
    const id = snapshot("layer-1", 1);
    const { digest } = store.blobs.put("a document");
    store.snapshots.insert([{ id, state: "present" }]);
    rmSync(store.blobs.pathOf(digest));
    mkdirSync(store.blobs.pathOf(digest));
    expect(() => store.blobs.readBytes(digest, 100_000)).toThrowError(/^Cannot read blob ".*": EISDIR/);
    const { problems } = await fsck(store, { repair: true }, signal);
    expect(problems.map(({ kind }) => kind)).toEqual(["blob-damaged"]);
    expect(store.blobs.readBytes(digest, 100_000)).toBeUndefined();
  });

  test("finds lost files: layers a registry has become absent, records of others go", async () => {
    const base = pulled("base", 1);
    step("a", [base], 1, 1);
    step("b", [base, "a"], 1, 1);
    image("docker.io/library/base:latest", [base]);
    for (const name of ["base", "a"]) rmSync(join(store.layout.snapshots, name), { recursive: true });
    const kinds = (await fsck(store, { repair: false }, signal)).problems.map(
      ({ kind, repaired }) => `${kind} ${repaired}`,
    );
    expect(kinds.toSorted()).toEqual([
      "record-broken false",
      "record-broken false",
      "snapshot-missing false",
      "snapshot-missing false",
    ]);
    await fsck(store, { repair: true }, signal);
    expect((await fsck(store, { repair: false }, signal)).problems).toEqual([]);
    expect(store.snapshots.get(base)?.state).toBe("absent");
    expect(store.images.find("base")).toMatchObject({ kind: "image" });
    expect([...store.records.list()]).toEqual([]);
  });

  test("reads layers again where it is told how", async () => {
    const base = pulled("base", 1);
    image("docker.io/library/base:latest", [base]);
    const diffIdOf = async (): Promise<Digest> => digestOf("something else");
    const { problems } = await fsck(store, { repair: true, diffIdOf }, signal);
    expect(problems.map(({ kind }) => kind)).toEqual(["snapshot-damaged"]);
    expect(store.snapshots.get(base)?.state).toBe("absent");
  });
});
