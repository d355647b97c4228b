import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cannotRun, testEnvironment } from "../../../test/support/environment.ts";
import { digestOf } from "../../../lib/core/digest.ts";
import { AT_FDCWD, S_IFCHR, S_IFIFO } from "../../../lib/native/constants.ts";
import { locateNative } from "../../../lib/native/locate.ts";
import { Engine } from "../engine.ts";
import { loadImages } from "./load-images.ts";

const signal = new AbortController().signal;
if (cannotRun !== undefined) console.warn(`skipped: archives of images: ${cannotRun}`);

describe.skipIf(cannotRun !== undefined)("an archive of an image", () => {
  let home = "";
  let tar: Buffer;

  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), "kiln-load-"));
    mkdirSync(join(home, "tree"));
    writeFileSync(join(home, "tree/file"), "text");
    tar = execFileSync("tar", ["-C", join(home, "tree"), "-cf", "-", "file"]);
    writeFileSync(join(home, "of-the-host.gz"), gzipSync(tar));
  });
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  /** Writes the older format of `docker save`: a manifest, a configuration, one layer. `make` changes it. */
  async function load(name: string, make: (directory: string) => void, config = "config.json"): Promise<string[]> {
    const directory = join(home, name);
    mkdirSync(join(directory, "a/b"), { recursive: true });
    const manifest = [{ Config: config, RepoTags: ["app:1"], Layers: ["a/layer.tar"] }];
    writeFileSync(join(directory, "manifest.json"), JSON.stringify(manifest));
    const image = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [digestOf(tar)] } };
    writeFileSync(join(directory, "config.json"), JSON.stringify(image));
    make(directory);
    const archive = join(home, `${name}.tar`);
    execFileSync("tar", ["-C", directory, "-cf", archive, "."]);
    await using engine = new Engine(testEnvironment(join(home, `${name}-store`)), { progress: () => {} });
    return (await loadImages(engine, { source: archive }, signal)).flatMap(({ names }) => names);
  }

  const withLayer = (directory: string): void => writeFileSync(join(directory, "a/layer.tar"), tar);

  test("is loaded, with links between its files", async () => {
    const names = await load("linked", (directory) => {
      writeFileSync(join(directory, "a/b/true.tar"), tar);
      symlinkSync("../a/b/true.tar", join(directory, "a/layer.tar"));
    });
    expect(names).toEqual(["docker.io/library/app:1"]);
  });

  test.each([
    {
      name: "a layer that is a link to a file of the host",
      make: (directory: string) => symlinkSync(join(home, "of-the-host.gz"), join(directory, "a/layer.tar")),
      says: /"a\/layer.tar" of the archive: it is missing/,
    },
    {
      name: "a layer below a link to a directory of the host",
      make: (directory: string) => {
        rmSync(join(directory, "a"), { recursive: true });
        symlinkSync(home, join(directory, "a"));
        writeFileSync(join(home, "layer.tar"), tar);
      },
      says: /"a\/layer.tar" of the archive: it is missing/,
    },
    {
      name: "a configuration that is a pipe",
      make: (directory: string) => {
        withLayer(directory);
        rmSync(join(directory, "config.json"));
        locateNative().mknodat(AT_FDCWD, join(directory, "config.json"), S_IFIFO | 0o600);
      },
      says: /"config.json" of the archive: it is no file/,
    },
    {
      name: "an index that is a device",
      make: (directory: string) =>
        locateNative().mknodat(AT_FDCWD, join(directory, "index.json"), S_IFCHR | 0o600, { major: 1, minor: 5 }),
      says: /"index.json" of the archive: it is no file/,
    },
    {
      name: "a layer that is a directory",
      make: (directory: string) => mkdirSync(join(directory, "a/layer.tar")),
      says: /"a\/layer.tar" of the archive: it is no file/,
    },
  ])("is refused with $name", async ({ name, make, says }) => {
    const failed = load(name.replaceAll(" ", "-"), make);
    await expect(failed).rejects.toMatchObject({ code: "archive/malformed", message: expect.stringMatching(says) });
  });

  const other = `sha256:${"0".repeat(64)}`;
  const configured = (directory: string, diffIds: readonly string[]): void => {
    const image = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: diffIds } };
    writeFileSync(join(directory, "config.json"), JSON.stringify(image));
  };

  test.each([
    { name: "more diffIDs than layers", code: "archive/malformed", diffIds: (own: string) => [own, other] },
    { name: "fewer diffIDs than layers", code: "archive/malformed", diffIds: () => [] },
    { name: "the diffID of another layer", code: "digest/mismatch", diffIds: () => [other] },
  ])("is refused when it is loaded with $name", async ({ name, code, diffIds }) => {
    for (const layer of [tar, gzipSync(tar)]) {
      const failed = load(`${name.replaceAll(" ", "-")}-${layer.length}`, (directory) => {
        writeFileSync(join(directory, "a/layer.tar"), layer);
        configured(directory, diffIds(digestOf(tar)));
      });
      await expect(failed).rejects.toMatchObject({ code });
    }
  });

  test("is refused when it is loaded with a file outside of its layer", async () => {
    const outside = execFileSync("tar", ["-C", join(home, "tree"), "-cf", "-", "--transform=s,^,../,", "-P", "file"]);
    const failed = load("outside-layer", (directory) => {
      writeFileSync(join(directory, "a/layer.tar"), gzipSync(outside));
      configured(directory, [digestOf(outside)]);
    });
    await expect(failed).rejects.toMatchObject({ code: "archive/unsafe-path" });
  });

  test("is refused when it names a file outside", async () => {
    const failed = load("outside", withLayer, "../config.json");
    await expect(failed).rejects.toMatchObject({ code: "archive/unsafe-path" });
  });

  test("is refused unread when its configuration is too large", async () => {
    const failed = load("large", (directory) => {
      withLayer(directory);
      truncateSync(join(directory, "config.json"), 9 << 20);
    });
    await expect(failed).rejects.toMatchObject({ message: expect.stringMatching(/9437184 bytes, more than/) });
  });
});
