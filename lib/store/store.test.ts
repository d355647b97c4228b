import { snapshotId } from "./snapshot-id.ts";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Digest, digestOf } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { MEDIA_TYPES } from "../core/oci.ts";
import { locateNative } from "../native/locate.ts";
import { openLogs } from "./logs.ts";
import type { SnapshotId } from "./model.ts";
import { openStore, type OpenStore } from "./open-store.ts";
import type { NewRecord } from "./store.ts";

const signal = new AbortController().signal;
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

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (error) {
    return error instanceof BuildError ? error.code : String(error);
  }
  return undefined;
}

const id = (name: string): SnapshotId => snapshotId(name);

function record(name: string, parts: Partial<NewRecord> = {}): NewRecord {
  return {
    id: name,
    definitionKey: digestOf(`definition of ${name}`),
    contentKey: undefined,
    site: "build RUN make",
    name: "[build 2/5] RUN make",
    parts: [{ name: "instruction", value: "RUN make" }],
    layers: [id("base"), id(`made-by-${name}`)],
    wallMs: 12.5,
    cpuMs: 10,
    peakMemoryBytes: undefined,
    logFile: undefined,
    producer: "local",
    ...parts,
  };
}

describe("a store's root", () => {
  test("is private to its owner", () => {
    for (const name of ["blobs/sha256", "snapshots", "cache-mounts", "logs", "leases", "running"]) {
      expect(statSync(join(root, name)).mode & 0o777).toBe(0o700);
    }
  });

  test("written with another output format is refused with a hint", () => {
    const database = new DatabaseSync(join(root, "kiln.db"));
    database.exec("PRAGMA user_version = 1999");
    database.close();
    expect(codeOf(openHere)).toBe("store/version");
  });

  test("of the version before this one is brought up to date, and none of its digests compared", async () => {
    store.snapshots.insert([{ id: id("old"), state: "present", contentDigest: digestOf("without times") }]);
    await store[Symbol.asyncDispose]();
    const database = new DatabaseSync(join(root, "kiln.db"));
    database.exec("ALTER TABLE snapshots DROP COLUMN run_ns; PRAGMA user_version = 1001");
    database.close();
    await using opened = openHere();
    expect(opened.snapshots.get(id("old"))).toMatchObject({
      state: "present",
      contentDigest: undefined,
      runs: undefined,
    });
    const runs = [
      { fromNs: 1n, untilNs: 1_900_000_000_123_456_789n },
      { fromNs: -1n, untilNs: 0n },
    ];
    opened.snapshots.insert([{ id: id("new"), state: "present", runs }]);
    expect(opened.snapshots.get(id("new"))?.runs).toEqual(runs);
  });

  test("is refused when its database is not one", async () => {
    const other = mkdtempSync(join(tmpdir(), "kiln-store-"));
    const { writeFileSync } = await import("node:fs");
    writeFileSync(join(other, "kiln.db"), "x".repeat(5000));
    expect(codeOf(() => openStore(other, { native: locateNative(), clock: { nowMs: () => now } }))).toBe(
      "store/corrupt",
    );
    rmSync(other, { recursive: true });
  });

  test("keeps nothing of a process that has closed it", async () => {
    store.blobs.has(digestOf("x"));
    await store[Symbol.asyncDispose]();
    expect(readdirSync(join(root, "running"))).toEqual(["lock"]);
    store = openHere();
  });
});

describe("blobs", () => {
  test("come back as they were put", async () => {
    const { digest, size } = store.blobs.put("hello");
    expect(digest).toBe(digestOf("hello"));
    expect(size).toBe(5);
    expect(store.blobs.readBytes(digest, 10)?.toString()).toBe("hello");
    expect(await text(store.blobs.open(digest))).toBe("hello");
    expect(await text(store.blobs.open(digest, { offsetBytes: 2 }))).toBe("llo");
    expect(store.blobs.readBytes(digestOf("other"), 10)).toBeUndefined();
  });

  test("that are missing cannot be opened", () => {
    expect(codeOf(() => store.blobs.open(digestOf("missing")))).toBe("store/corrupt");
  });

  test("that were altered on disk are not handed out as documents", async () => {
    const { digest } = store.blobs.put("hello");
    const { writeFileSync } = await import("node:fs");
    writeFileSync(store.blobs.pathOf(digest), "hullo");
    expect(codeOf(() => store.blobs.readBytes(digest, 10))).toBe("store/corrupt");
  });

  test("larger than a document may be are not read into memory", () => {
    const { digest } = store.blobs.put("x".repeat(100));
    expect(codeOf(() => store.blobs.readBytes(digest, 99))).toBe("store/corrupt");
  });

  test.each([
    { name: "other bytes", arrived: "hullo" },
    { name: "too few bytes", arrived: "hell" },
    { name: "too many bytes", arrived: "hello, world" },
  ])("written from a stream with $name leave nothing behind", async ({ arrived }) => {
    const expected = { digest: digestOf("hello"), size: 5 };
    const writing = store.blobs.write(Readable.from([Buffer.from(arrived)]), { expected }, signal);
    await expect(writing).rejects.toMatchObject({ code: "digest/mismatch" });
    expect(readdirSync(store.layout.blobs)).toEqual([]);
  });

  test("go on downloading where an earlier download was cut off", async () => {
    const body = Buffer.from("0123456789".repeat(1000));
    const expected = { digest: digestOf(body), size: body.length };
    const cutOff = async function* (): AsyncGenerator<Buffer> {
      yield body.subarray(0, 4000);
      throw new Error("connection lost");
    };
    const first = store.blobs.download(expected, async () => Readable.from(cutOff()), signal);
    await expect(first).rejects.toThrow("connection lost");
    const offsets: number[] = [];
    await store.blobs.download(
      expected,
      async (offset) => {
        offsets.push(offset);
        return Readable.from([body.subarray(offset)]);
      },
      signal,
    );
    expect(offsets).toEqual([4000]);
    expect(store.blobs.readBytes(expected.digest, body.length)?.equals(body)).toBe(true);
  });

  test("are fetched from the beginning after an altered download", async () => {
    const body = Buffer.from("x".repeat(1000));
    const expected = { digest: digestOf(body), size: body.length };
    const bad = store.blobs.download(expected, async () => Readable.from([Buffer.alloc(1000)]), signal);
    await expect(bad).rejects.toMatchObject({ code: "digest/mismatch" });
    const good = await store.blobs.download(expected, async (offset) => Readable.from([body.subarray(offset)]), signal);
    expect(good).toEqual(expected);
  });

  test("downloaded by two at once are fetched once", async () => {
    const body = Buffer.from("y".repeat(1000));
    const expected = { digest: digestOf(body), size: body.length };
    let opened = 0;
    const open = async (): Promise<Readable> => {
      opened += 1;
      return Readable.from([body]);
    };
    await Promise.all([store.blobs.download(expected, open, signal), store.blobs.download(expected, open, signal)]);
    expect(opened).toBe(1);
  });
});

describe("records", () => {
  test("are found by their definition key, the newest of several", () => {
    const key = digestOf("key");
    store.records.insert(record("old", { definitionKey: key }), { snapshots: [] });
    const inserted = store.records.insert(record("new", { definitionKey: key }), {
      snapshots: [{ id: id("made-by-new"), state: "present" }],
    });
    expect(store.records.findByDefinitionKey(key)).toEqual(inserted);
    expect(store.records.findByDefinitionKeys([digestOf("none"), key])).toEqual(new Map([[key, inserted]]));
    expect(store.snapshots.get(id("made-by-new"))?.state).toBe("present");
  });

  test("are found by content key and by alias", () => {
    const contentKey = digestOf("content");
    store.records.insert(record("a", { contentKey }), { snapshots: [], aliases: [digestOf("alias")] });
    store.records.addAlias("a", digestOf("later alias"));
    store.records.addAlias("no such record", digestOf("nothing"));
    expect(store.records.findByContentKey(contentKey)?.id).toBe("a");
    expect(store.records.findByDefinitionKey(digestOf("alias"))?.id).toBe("a");
    expect(store.records.findByDefinitionKey(digestOf("later alias"))?.id).toBe("a");
    expect(store.records.findByDefinitionKey(digestOf("nothing"))).toBeUndefined();
  });

  test("of one site come newest first", () => {
    for (const name of ["a", "b", "c"]) store.records.insert(record(name), { snapshots: [] });
    expect(store.records.latestBySite("build RUN make", 2).map((found) => found.id)).toEqual(["c", "b"]);
  });

  test("that fail to go in leave no snapshot rows", () => {
    // SQLite keeps NaN as NULL.
    const insert = (): unknown =>
      store.records.insert(record("a", { wallMs: Number.NaN }), { snapshots: [{ id: id("half"), state: "present" }] });
    expect(insert).toThrow("NOT NULL");
    expect(store.snapshots.get(id("half"))).toBeUndefined();
  });

  test("taken from elsewhere twice stay as they were, with the time and place of their layers", () => {
    const diffId = digestOf("layer");
    const descriptor = { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf("packed"), size: 6 };
    const at = {
      snapshots: [{ id: id("made-by-r"), state: "absent", diffId, createdAtMs: 1000 }],
      layerBlobs: [{ diffId, descriptor, repository: "example.com/cache" }],
    } as const;
    store.records.insert(record("r", { producer: "first" }), at);
    store.records.insert(record("r", { producer: "second" }), at);
    expect(store.records.get("r")?.producer).toBe("first");
    expect(store.snapshots.get(id("made-by-r"))).toMatchObject({ state: "absent", createdAtMs: 1000 });
    expect(store.snapshots.layerBlobs(diffId)).toEqual([{ diffId, descriptor, repository: "example.com/cache" }]);
  });

  test("are forgotten with a layer that cannot be had, and so are their keys", () => {
    store.records.insert(record("a"), { snapshots: [] });
    store.records.insert(record("b"), { snapshots: [] });
    expect(store.records.forgetLayer(id("made-by-a"))).toBe(1);
    expect(store.records.findByDefinitionKey(digestOf("definition of a"))).toBeUndefined();
    expect(store.records.findByDefinitionKey(digestOf("definition of b"))?.id).toBe("b");
  });

  test("remember a use only when the last one is old", () => {
    store.records.insert(record("a"), { snapshots: [] });
    now += 60_000;
    store.records.touch(["a"]);
    store.flush();
    expect(store.records.get("a")?.lastUsedMs).toBe(now - 60_000);
    now += 3_600_000;
    store.records.touch(["a"]);
    store.flush();
    expect(store.records.get("a")?.lastUsedMs).toBe(now);
  });
});

describe("snapshots", () => {
  test("become present and never lose what is known of them", () => {
    const diffId = digestOf("layer");
    store.snapshots.insert([{ id: id("layer-1"), state: "absent", diffId, tarSizeBytes: 10 }]);
    store.snapshots.insert([{ id: id("layer-1"), state: "present", diskBytes: 4096 }]);
    store.snapshots.insert([{ id: id("layer-1"), state: "absent", diffId }]);
    store.snapshots.learn(id("layer-1"), { contentDigest: digestOf("content") });
    expect(store.snapshots.get(id("layer-1"))).toMatchObject({
      state: "present",
      diffId,
      tarSizeBytes: 10,
      diskBytes: 4096,
      contentDigest: digestOf("content"),
    });
    expect(store.snapshots.byDiffId(diffId)).toHaveLength(1);
    expect(store.snapshots.byContentDigest(digestOf("content"))).toHaveLength(1);
  });

  test("are read many at once in the order asked", () => {
    store.snapshots.insert(["a", "b", "c"].map((name) => ({ id: id(name), state: "present" })));
    const found = store.snapshots.getMany([id("c"), id("missing"), id("a")]);
    expect(found.map((row) => row.id)).toEqual(["c", "a"]);
  });

  test("know their blobs, local ones first", () => {
    const diffId = digestOf("layer");
    const descriptor = { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf("gzip"), size: 4 };
    store.snapshots.addLayerBlob({ diffId, descriptor, repository: "docker.io/library/alpine" });
    store.snapshots.addLayerBlob({ diffId, descriptor, repository: undefined });
    expect(store.snapshots.layerBlobs(diffId).map((blob) => blob.repository)).toEqual([
      undefined,
      "docker.io/library/alpine",
    ]);
    expect(store.snapshots.repositoriesOf(descriptor.digest)).toEqual(["docker.io/library/alpine"]);
  });
});

function imageParts(label: string, names: readonly string[]): Parameters<OpenStore["images"]["put"]>[0] {
  const diffId = digestOf(`layer of ${label}`);
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    config: { Labels: { label } },
    rootfs: { type: "layers", diff_ids: [diffId] },
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: MEDIA_TYPES.ociLayer, digest: diffId, size: 3 }],
  });
  const layer = id(`layer-${diffId.slice(7)}`);
  return {
    manifest,
    config,
    mediaType: MEDIA_TYPES.ociManifest,
    layers: [layer],
    newSnapshots: [{ id: layer, state: "absent", diffId }],
    names,
  };
}

describe("images", () => {
  test("are found by name, by digest of manifest or config, and by a unique prefix of those", () => {
    const image = store.images.put(imageParts("one", ["docker.io/library/app:latest"]));
    store.images.put(imageParts("two", []));
    const { manifestDigest, configDigest } = image;
    const typed = ["app", "docker.io/library/app:latest", manifestDigest, configDigest, configDigest.slice(7, 20)];
    for (const typing of [...typed, `other@${manifestDigest}`]) {
      expect(store.images.find(typing)).toMatchObject({ kind: "image", image: { manifestDigest } });
    }
    expect(store.images.find("app")).toMatchObject({ name: "docker.io/library/app:latest" });
    expect(store.images.get(manifestDigest)?.config.config.Labels).toEqual({ label: "one" });
    expect(codeOf(() => store.images.find("nothing"))).toBe("image/not-found");
  });

  test("of which several begin with the digits typed are not guessed at", () => {
    const digests = new Set<string>();
    for (let n = 0; n < 40; n += 1)
      digests.add(store.images.put(imageParts(`image ${n}`, [])).configDigest.slice(7, 9));
    // Forty digests among 256 beginnings, manifests counted too: some beginning is shared.
    const codes = [...digests].map((prefix) => codeOf(() => store.images.find(prefix)));
    expect(codes).toContain("image/not-found");
  });

  test("listed in an index are found through it", () => {
    const image = store.images.put(imageParts("one", []));
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [{ mediaType: MEDIA_TYPES.ociManifest, digest: image.manifestDigest, size: 1 }],
    });
    const target = store.images.putIndex({ bytes: index, names: ["docker.io/library/multi:latest"] });
    expect(store.images.find("multi")).toMatchObject({ kind: "index", digest: target.digest });
    expect(store.images.list().find(({ kind }) => kind === "index")).toMatchObject({
      names: ["docker.io/library/multi:latest"],
      manifests: [image.manifestDigest],
    });
  });

  test("are refused when the configuration is not the one in the manifest", () => {
    const parts = imageParts("one", []);
    expect(codeOf(() => store.images.put({ ...parts, config: `${String(parts.config)} ` }))).toBe("digest/mismatch");
  });

  test("lose their names when they are deleted", () => {
    const image = store.images.put(imageParts("one", ["docker.io/library/app:latest"]));
    expect(store.images.delete(image.manifestDigest)).toBe(true);
    expect(store.refs.get("docker.io/library/app:latest")).toBeUndefined();
    expect(store.images.get(image.manifestDigest)).toBeUndefined();
  });

  test("keep their digest when a name moves away", () => {
    const first = store.images.put(imageParts("one", ["docker.io/library/app:latest"]));
    store.images.put(imageParts("two", ["docker.io/library/app:latest"]));
    expect(store.refs.namesOf(first.manifestDigest)).toEqual([]);
    expect(store.images.list()).toHaveLength(2);
    expect(store.refs.list()).toHaveLength(1);
  });
});

test("facts and stat indexes come back, with the blobs they speak of", () => {
  const digest: Digest = store.blobs.put("body").digest;
  store.facts.set("http", "https://example.com/a", { value: Buffer.from('{"etag":"1"}'), blobs: [digest] });
  store.facts.saveStatIndex("/src", new Uint8Array([1, 2, 3]));
  expect(store.facts.get("http", "https://example.com/a")?.blobs).toEqual([digest]);
  expect(store.facts.loadStatIndex("/src")).toEqual(new Uint8Array([1, 2, 3]));
  expect(store.facts.loadStatIndex("/other")).toBeUndefined();
  store.facts.delete("http", "https://example.com/a");
  expect(store.facts.get("http", "https://example.com/a")).toBeUndefined();
});

describe("logs", () => {
  test("hold everything that was written, in order", async () => {
    const log = store.logs.create("sha256:abc/../../x");
    for (let n = 0; n < 1000; n += 1) log.write(`line ${n}\n`);
    log.close();
    const lines = (await text(store.logs.open(log.name))).split("\n");
    expect(lines).toHaveLength(1001);
    expect(lines[999]).toBe("line 999");
    expect(log.sizeBytes).toBe(statSync(log.path).size);
  });

  test("have a limit, and say at their end what is missing", () => {
    const log = openLogs(root, () => {}, 10).create("step");
    for (const piece of ["12345", "678901", "2345"]) log.write(piece);
    log.close();
    expect(readFileSync(log.path, "utf8")).toBe(
      "1234567890\n[kiln: 5 bytes more were printed and are not here; a log holds 10 bytes at most]\n",
    );
    expect({ size: log.sizeBytes, leftOut: log.leftOutBytes }).toEqual({ size: 10, leftOut: 5 });
  });

  test("without output have no file", async () => {
    const log = store.logs.create("step");
    log.close();
    expect(existsSync(log.path)).toBe(false);
  });

  test("are only looked for among the logs", () => {
    expect(store.logs.pathOf("../../etc/passwd")).toBe(join(root, "logs", "passwd"));
  });
});
