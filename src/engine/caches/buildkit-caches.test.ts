import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testEnvironment } from "../../../test/support/environment.ts";
import { startTestRegistry, type TestRegistry } from "../../../test/support/registry.ts";
import { digestOf, hexOf } from "../../../lib/core/digest.ts";
import { MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { cacheOptions } from "../../cli/flags/cache.ts";
import { build } from "../build.ts";

const RECORDS_TYPE = "application/vnd.buildkit.cacheconfig.v0";
const records = JSON.stringify({ layers: [], records: [{ digest: digestOf("an operation") }] });

describe("a cache that BuildKit wrote", () => {
  const signal = new AbortController().signal;
  let home = "";
  let registry: TestRegistry;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-buildkit-"));
    await writeFile(join(home, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
    registry = await startTestRegistry();
    const addImage = (tag: string, configType: string, config: string): void => {
      const pointer = { mediaType: configType, ...registry.addBlob(config) };
      const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: pointer, layers: [] };
      registry.addManifest("app", tag, MEDIA_TYPES.ociManifest, JSON.stringify(manifest));
    };
    addImage("image", RECORDS_TYPE, records);
    const config = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } };
    addImage("inline", MEDIA_TYPES.ociConfig, JSON.stringify({ ...config, "moby.buildkit.cache.v0": "W10=" }));
    addImage("plain", MEDIA_TYPES.ociConfig, JSON.stringify(config));
    const members = [
      { mediaType: MEDIA_TYPES.ociLayerGzip, ...registry.addBlob("a layer") },
      { mediaType: RECORDS_TYPE, ...registry.addBlob(records) },
    ];
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: members };
    registry.addManifest("app", "index", MEDIA_TYPES.ociIndex, JSON.stringify(index));
    for (const [name, type] of Object.entries({ layout: RECORDS_TYPE, other: MEDIA_TYPES.ociConfig })) {
      const manifest = JSON.stringify({ config: { mediaType: type, digest: digestOf(records), size: 1 }, layers: [] });
      await mkdir(join(home, name, "blobs/sha256"), { recursive: true });
      await writeFile(join(home, name, "blobs/sha256", hexOf(digestOf(manifest))), manifest);
      await writeFile(join(home, name, "index.json"), JSON.stringify({ manifests: [{ digest: digestOf(manifest) }] }));
    }
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(home, { recursive: true, force: true });
  });

  async function notices(flags: { readonly from?: string; readonly to?: string }): Promise<readonly string[]> {
    const found: string[] = [];
    const lists = { from: [flags.from ?? []].flat(), to: [flags.to ?? []].flat() };
    await build(
      {
        context: home,
        outputs: [{ kind: "cacheonly" }],
        cache: cacheOptions({ ...lists, mode: undefined, trust: [] }),
        progress: (event) => {
          if (event.kind === "notice") found.push(`${event.level}: ${event.message}; ${event.hint ?? ""}`);
        },
      },
      testEnvironment(await mkdtemp(join(home, "store-")), { workingDirectory: home }),
      signal,
    );
    return found;
  }

  test.each([
    { from: "image", instead: "app:image-kiln,mode=max" },
    { from: "index", instead: "app:index-kiln,mode=max" },
    { from: "inline", instead: "type=inline --push" },
  ])("in a registry, as $from, is one line that says what to do instead", async ({ from, instead }) => {
    const [said = "", ...others] = await notices({ from: `type=registry,ref=${registry.host}/app:${from}` });
    expect(others).toEqual([]);
    expect(said).toContain(`warning: Cannot use the cache "${registry.host}/app:${from}": BuildKit wrote it`);
    expect(said).toContain(instead);
  });

  test("in a directory is one line as well", async () => {
    const [said = "", ...others] = await notices({ from: `type=local,src=${join(home, "layout")}` });
    expect(others).toEqual([]);
    expect(said).toContain("BuildKit wrote it");
    expect(said).toContain(`type=local,dest=${join(home, "layout")}-kiln,mode=max`);
  });

  test("is told from images and layouts without any cache", async () => {
    const image = await notices({ from: `type=registry,ref=${registry.host}/app:plain` });
    const layout = await notices({ from: `type=local,src=${join(home, "other")}` });
    expect([...image, ...layout].map((text) => text.replace(/ at .*/, ""))).toEqual([
      "info: There is no cache",
      "info: There is no cache",
    ]);
  });

  test.each(["image", "index"])("as %s is not written over", async (tag) => {
    const before = registry.manifests.get(`app:${tag}`);
    const said = `${registry.host}/app:${tag}" is a cache of BuildKit's`;
    await expect(notices({ to: `type=registry,ref=${registry.host}/app:${tag}` })).rejects.toThrow(said);
    expect(registry.manifests.get(`app:${tag}`)).toBe(before);
  });
});
