import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeFiles } from "../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import { startTestRegistry } from "../../test/support/registry.ts";
import { build } from "../engine/build.ts";
import { Engine } from "../engine/engine.ts";
import { loadImages } from "../engine/images/load-images.ts";
import { digestOf } from "../../lib/core/digest.ts";
import { type Index, type Manifest, MEDIA_TYPES } from "../../lib/core/oci.ts";
import { STORE_OUTPUT } from "./output-spec.ts";
import { parseOutput } from "./parse-output.ts";

const hasSkopeo = spawnSync("skopeo", ["--version"]).status === 0;
if (cannotRun !== undefined) console.warn(`skipped: exporters: ${cannotRun}`);

describe.skipIf(cannotRun !== undefined)("exporters", () => {
  let home = "";
  const signal = new AbortController().signal;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-export-"));
    await mkdir(join(home, "context/dir"), { recursive: true });
    await writeFiles(join(home, "context"), {
      a: "a".repeat(10_000),
      "dir/b": "b",
      Dockerfile: 'FROM scratch\nCOPY a /a\nCOPY dir /dir\nLABEL html="<b>"\n',
    });
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  const store = (): string => join(home, "store");
  const run = (
    attributes: Readonly<Record<string, string>>,
    tags: readonly string[] = "name" in attributes ? [] : ["app:1"],
  ) =>
    build(
      { context: join(home, "context"), tags, outputs: [parseOutput(new Map(Object.entries(attributes)))] },
      testEnvironment(store()),
      signal,
    );

  test("an OCI directory has every blob under its digest and keeps the images that were there", async () => {
    const dest = join(home, "layout");
    const first = await run({ type: "oci", tar: "false", dest, name: "docker.io/library/one:1" });
    await run({ type: "oci", tar: "false", dest, name: "docker.io/library/two:2", compression: "zstd" });
    await run({ type: "oci", tar: "false", dest, name: "docker.io/library/one:1" });
    const index: unknown = JSON.parse(await readFile(join(dest, "index.json"), "utf8"));
    expect(index).toMatchObject({
      manifests: [
        { annotations: { "org.opencontainers.image.ref.name": "2" } },
        { annotations: { "org.opencontainers.image.ref.name": "1" }, digest: first.manifest?.digest },
      ],
    });
    const blobs = await readdir(join(dest, "blobs/sha256"));
    // Two manifests, one config, two layers in two forms.
    expect(blobs).toHaveLength(7);
  });

  test("builds that write into one OCI directory at one time all find their image there", async () => {
    const dest = join(home, "shared-layout");
    const names = Array.from({ length: 8 }, (_, index) => `docker.io/library/app${index}:1`);
    await Promise.all(names.map((name) => run({ type: "oci", tar: "false", dest, name })));
    const { manifests } = JSON.parse(await readFile(join(dest, "index.json"), "utf8")) as Index;
    const listed = manifests.map(({ annotations }) => annotations?.["io.containerd.image.name"]);
    expect(new Set(listed)).toEqual(new Set(names));
    expect(listed).toHaveLength(names.length);
    for (const blob of await readdir(join(dest, "blobs/sha256"))) {
      expect(digestOf(await readFile(join(dest, "blobs/sha256", blob)))).toBe(`sha256:${blob}`);
    }
  });

  test.each([
    { name: "an OCI directory", attributes: { type: "oci", tar: "false" } },
    { name: "a tree of files", attributes: { type: "local" } },
  ])("$name that does not fit on its disk is told in one error", async ({ attributes }) => {
    const disk = await mkdtemp(join(home, "disk-"));
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]);
    expect(mounted.status).toBe(0);
    try {
      const context = join(home, "noise");
      await mkdir(context, { recursive: true });
      await writeFiles(context, { Dockerfile: "FROM scratch\nCOPY noise /noise\n" });
      await writeFile(join(context, "noise"), randomBytes(3 << 20));
      const outputs = [parseOutput(new Map(Object.entries({ ...attributes, dest: join(disk, "out") })))];
      const failed = build({ context, outputs }, testEnvironment(store()), signal);
      await expect(failed).rejects.toMatchObject({
        code: "export/failed",
        message: expect.stringMatching(/^Cannot write into ".*out": ENOSPC/) as string,
      });
    } finally {
      spawnSync("umount", ["-l", disk]);
    }
  });

  test("an OCI directory with an unreadable index.json is left as it is", async () => {
    const dest = join(home, "broken-layout");
    await mkdir(dest);
    await writeFile(join(dest, "index.json"), '{"schemaVersion":2,"manifests":[{"digest":7}]}');
    const failed = run({ type: "oci", tar: "false", dest });
    await expect(failed).rejects.toMatchObject({ code: "export/failed" });
    expect(await readFile(join(dest, "index.json"), "utf8")).toContain('"digest":7');
  });

  test.each([
    { name: "docker archive", type: "docker" },
    { name: "OCI archive", type: "oci" },
  ])("a $name is loaded into another store as the same image", async ({ type }) => {
    const dest = join(home, `${type}.tar`);
    const built = await run({ type, dest });
    const environment = testEnvironment(join(home, `${type}-store`));
    await using engine = new Engine(environment, { progress: () => {} });
    const [loaded] = await loadImages(engine, { source: dest }, signal);
    expect(loaded).toMatchObject({ names: ["docker.io/library/app:1"], configDigest: built.imageId });
    const found = engine.store.images.find("app:1");
    const stack = found.kind === "image" ? found.image.layers : [];
    await engine.images.materialize(stack, undefined, signal);
    const [first] = stack;
    expect(first === undefined ? undefined : await readFile(join(engine.snapshotter.pathOf(first), "a"), "utf8")).toBe(
      "a".repeat(10_000),
    );
  });

  test.skipIf(!hasSkopeo)("skopeo reads the docker archive", async () => {
    const dest = join(home, "skopeo.tar");
    const built = await run({ type: "docker", dest });
    const shown = spawnSync("skopeo", ["inspect", "--config", "--raw", `docker-archive:${dest}`], { encoding: "utf8" });
    expect(shown.stderr).toBe("");
    expect(digestOf(shown.stdout)).toBe(built.imageId);
  });

  test("a push sends each blob once, and a second one none", async () => {
    await using registry = await startTestRegistry();
    const name = `${registry.host}/team/app:1`;
    const pushed = await run({ type: "registry", name }, []);
    expect(registry.manifests.get("team/app:1")?.bytes.toString()).toContain('"schemaVersion": 2');
    expect([...registry.blobs.keys()]).toContain(pushed.imageId);
    const asked = registry.requests.filter(({ method }) => method === "HEAD").map(({ path }) => path);
    expect(asked.length).toBeGreaterThan(1);
    expect(new Set(asked).size).toBe(asked.length);
    expect(registry.blobs.size).toBe(3);
    registry.clearLog();
    await run({ type: "registry", name }, []);
    expect(registry.requests.filter(({ method }) => method === "POST" || method === "PATCH")).toEqual([]);
  });

  test("a large layer is sent while it is compressed, and from the store when that breaks", async () => {
    await using registry = await startTestRegistry();
    await mkdir(join(home, "large"), { recursive: true });
    await writeFiles(join(home, "large"), { Dockerfile: "FROM scratch\nCOPY noise /noise\n" });
    const noise = randomBytes(6 << 20);
    const push = async (machine: string, name: string): Promise<readonly string[]> => {
      registry.clearLog();
      await writeFile(join(home, "large/noise"), noise);
      await utimes(join(home, "large/noise"), 1_700_000_000, 1_700_000_000);
      const outputs = [
        parseOutput(
          new Map([
            ["type", "registry"],
            ["name", `${registry.host}/${name}`],
          ]),
        ),
      ];
      await build({ context: join(home, "large"), outputs }, testEnvironment(join(home, machine)), signal);
      const { layers } = JSON.parse(registry.manifests.get(`${name}:latest`)?.bytes.toString() ?? "") as Manifest;
      for (const { digest, size } of layers) expect(registry.blobs.get(digest)).toHaveLength(size);
      return registry.requests.map(({ method }) => method);
    };
    expect(await push("one", "first")).toContain("PATCH");
    // Another machine with the same layer and a registry that has it: the upload is left.
    expect((await push("two", "first")).filter((method) => method === "PUT")).toHaveLength(2);
    noise[0] = (noise[0] ?? 0) ^ 1;
    registry.fail({ method: "PATCH", path: /uploads/, kind: { kind: "drop", afterBytes: 0 } });
    expect((await push("two", "second")).filter((method) => method === "PUT")).toHaveLength(3);
  });

  test("a base layer keeps the form it came in, whatever forms the store has met", async () => {
    await using registry = await startTestRegistry();
    const machine = join(home, "forms");
    await run({ type: "registry", name: `${registry.host}/base:1`, compression: "gzip" }, []);
    await mkdir(machine);
    await writeFiles(machine, { Dockerfile: `FROM ${registry.host}/base:1\nCOPY Dockerfile /d\n` });
    const layersOf = async (attributes: Readonly<Record<string, string>>): Promise<Manifest["layers"]> => {
      const name = `${registry.host}/app:1`;
      const outputs = [parseOutput(new Map(Object.entries({ type: "registry", name, ...attributes })))];
      await build({ context: machine, outputs }, testEnvironment(join(machine, "store")), signal);
      return (JSON.parse(registry.manifests.get("app:1")?.bytes.toString() ?? "") as Manifest).layers;
    };
    const original = (await layersOf({})).map(({ digest }) => digest);
    const forced = await layersOf({ compression: "zstd", "force-compression": "true" });
    expect(forced.map(({ mediaType }) => mediaType)).toEqual(Array(3).fill(expect.stringMatching(/\+zstd$/)));
    expect((await layersOf({})).map(({ digest }) => digest)).toEqual(original);
    const plain = await layersOf({ compression: "uncompressed" });
    expect(plain.map(({ digest }) => digest).slice(0, 2)).toEqual(original.slice(0, 2));
    expect(plain[2]?.mediaType).toMatch(/\.tar$/);
  });

  test("what another image claims to be a layer does not take the place of the layer", async () => {
    await using registry = await startTestRegistry();
    const environment = testEnvironment(join(home, "claimed"));
    const context = join(home, "context");
    await build({ context, tags: ["app:1"], outputs: [STORE_OUTPUT] }, environment, signal);
    const evil = gzipSync("something else");
    {
      await using engine = new Engine(environment, { progress: () => {} });
      const found = engine.store.images.find("app:1");
      const diffIds = found.kind === "image" ? found.image.config.rootfs.diff_ids : [];
      const descriptor = { mediaType: MEDIA_TYPES.ociLayerGzip, ...engine.store.blobs.put(evil) };
      for (const diffId of diffIds) engine.store.snapshots.addLayerBlob({ diffId, descriptor, repository: undefined });
      expect(diffIds).toHaveLength(2);
    }
    const outputs = [parseOutput(new Map(Object.entries({ type: "registry", name: `${registry.host}/app:1` })))];
    await build({ context, outputs }, environment, signal);
    expect(registry.manifests.has("app:1")).toBe(true);
    expect([...registry.blobs.keys()]).not.toContain(digestOf(evil));
  });

  test("a push by digest leaves the registry's tags alone", async () => {
    await using registry = await startTestRegistry();
    const name = `${registry.host}/team/app`;
    const pushed = await run(
      { type: "image", name, push: "true", "push-by-digest": "true", "name-canonical": "true" },
      [],
    );
    expect([...registry.manifests.keys()]).toEqual([`team/app@${pushed.manifest?.digest}`]);
    await using engine = new Engine(testEnvironment(store()), { progress: () => {} });
    expect(engine.store.images.find(`${name}@${pushed.manifest?.digest}`).name).toBe(
      `${name}@${pushed.manifest?.digest}`,
    );
    expect(() => engine.store.images.find(name)).toThrow("Cannot find image");
  });

  test.each([
    { name: "always", only: "false", tags: ["app:1"], dangles: true },
    { name: "not when it has a name", only: "true", tags: ["app:1"], dangles: false },
    { name: "when it has no name", only: "true", tags: [], dangles: true },
  ])("an image dangles under a prefix: $name", async ({ only, tags, dangles }) => {
    const built = await run(
      { type: "image", "dangling-name-prefix": "none/kept", "danging-name-empty-only": only },
      tags,
    );
    expect(built.names.includes(`docker.io/none/kept@${built.manifest?.digest}`)).toBe(dangles);
  });

  test("docker refuses several platforms", async () => {
    const options = {
      context: join(home, "context"),
      platforms: ["linux/amd64", "linux/arm64"],
      outputs: [
        parseOutput(
          new Map([
            ["type", "docker"],
            ["dest", join(home, "x.tar")],
          ]),
        ),
      ],
    };
    await expect(build(options, testEnvironment(store()), signal)).rejects.toMatchObject({
      code: "export/unsupported",
    });
  });

  test("tar holds the merged files with their owners", async () => {
    const dest = join(home, "files.tar");
    await run({ type: "tar", dest });
    const listed = spawnSync("tar", ["-tf", dest], { encoding: "utf8" }).stdout.trim().split("\n");
    expect(listed).toEqual(["a", "dir/", "dir/b"]);
  });

  const runBoth = (
    attributes: Readonly<Record<string, string>>,
    dockerfile = "FROM scratch\nARG TARGETARCH\nCOPY a /$TARGETARCH\nCOPY a /dir/\n",
  ) =>
    build(
      {
        context: join(home, "context"),
        dockerfile: "-",
        platforms: ["linux/amd64", "linux/arm64"],
        outputs: [parseOutput(new Map(Object.entries(attributes)))],
      },
      testEnvironment(store(), { input: dockerfile }),
      signal,
    );

  test("files of several platforms go into a folder each", async () => {
    const dest = join(home, "split");
    await runBoth({ type: "local", dest });
    await runBoth({ type: "tar", dest: `${dest}.tar` });
    expect((await readdir(dest, { recursive: true })).toSorted()).toEqual(
      ["linux_amd64", "linux_arm64"].flatMap((folder) => [
        folder,
        `${folder}/${folder.slice(6)}`,
        `${folder}/dir`,
        `${folder}/dir/a`,
      ]),
    );
    const listed = spawnSync("tar", ["-tf", `${dest}.tar`], { encoding: "utf8" })
      .stdout.trim()
      .split("\n");
    expect(listed.map((path) => path.replace(/\/$/, ""))).toEqual(
      (await readdir(dest, { recursive: true })).toSorted(),
    );
  });

  test.each(["local", "tar"])("type=%s without folders merges platforms that share no file", async (type) => {
    const dest = join(home, `merged-${type}`);
    const merged = { type, dest, "platform-split": "false" };
    await expect(runBoth(merged)).rejects.toThrow(
      "cannot overwrite dir/a from linux/amd64 with linux/arm64 when split option is disabled",
    );
    await runBoth(merged, "FROM scratch\nARG TARGETARCH\nCOPY a /dir/$TARGETARCH\n");
    const files =
      type === "local"
        ? await readdir(join(dest, "dir"))
        : spawnSync("tar", ["-tf", dest], { encoding: "utf8" }).stdout.trim().split("\n").slice(1);
    expect(files.map((path) => path.replace("dir/", ""))).toEqual(["amd64", "arm64"]);
  });

  test("mode=delete removes what is not in the result, and nothing when the build fails", async () => {
    const dest = join(home, "mirror");
    await mkdir(join(dest, "old"), { recursive: true });
    await writeFiles(dest, { "old/x": "x", a: "old" });
    const output = parseOutput(new Map(Object.entries({ type: "local", dest, mode: "delete" })));
    const mirror = (dockerfile: string) =>
      build(
        { context: join(home, "context"), dockerfile: "-", outputs: [output], allow: ["buildx.local.delete"] },
        testEnvironment(store(), { input: dockerfile }),
        signal,
      );
    await expect(mirror("FROM scratch\nCOPY absent /\n")).rejects.toThrow("absent");
    expect((await readdir(dest)).toSorted()).toEqual(["a", "old"]);
    await mirror("FROM scratch\nCOPY dir/b /new/\n");
    expect((await readdir(dest, { recursive: true })).toSorted()).toEqual(["new", "new/b"]);
  });
});
