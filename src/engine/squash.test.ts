import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importBusybox, noBusybox, writeFiles } from "../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import type { ImageConfig, Index, Manifest } from "../../lib/core/oci.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { parseOutput } from "../export/parse-output.ts";
import { build } from "./build.ts";
import { Engine } from "./engine.ts";
import { listImageFiles, openImageFiles } from "./look/image-files.ts";
import type { BuildOptions } from "./options.ts";

const skip = cannotRun ?? noBusybox;
if (skip !== undefined) console.warn(`skipped: squashed layers: ${skip}`);

describe.skipIf(skip !== undefined)("squashed layers", () => {
  const { signal } = new AbortController();
  let home = "";
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-squash-"));
    await importBusybox(testEnvironment(join(home, "store")));
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  const environment = () => testEnvironment(join(home, "store"));
  let count = 0;
  const run = async (dockerfile: string, options: Partial<BuildOptions> = {}) => {
    count += 1;
    const context = join(home, `context-${count}`);
    const dest = join(home, `out-${count}`);
    await mkdir(context);
    await writeFiles(context, { a: "a", b: "b", Dockerfile: dockerfile });
    const events: ProgressEvent[] = [];
    const outputs = [
      parseOutput(
        new Map([
          ["type", "oci"],
          ["tar", "false"],
          ["dest", dest],
        ]),
      ),
      parseOutput(new Map([["type", "image"]])),
    ];
    const tags = ["app"];
    await build(
      { context, tags, outputs, squash: true, ...options, progress: (event) => void events.push(event) },
      environment(),
      signal,
    );
    const blob = (digest = ""): string => join(dest, "blobs/sha256", digest.replace("sha256:", ""));
    const json = async (digest = ""): Promise<unknown> => JSON.parse(await readFile(blob(digest), "utf8"));
    const index = JSON.parse(await readFile(join(dest, "index.json"), "utf8")) as Index;
    const manifest = (await json(index.manifests[0]?.digest)) as Manifest;
    const config = (await json(manifest.config.digest)) as ImageConfig;
    const names = manifest.layers.map((layer) =>
      execFileSync("tar", ["-tzf", blob(layer.digest)], { encoding: "utf8" })
        .trim()
        .split("\n")
        .toSorted(),
    );
    const notices = events.flatMap((event) => (event.kind === "notice" ? event.message : []));
    return { manifest, config, names, notices };
  };
  const filesOf = async (): Promise<readonly string[]> => {
    await using engine = new Engine(environment(), { progress: () => {} });
    const found = engine.store.images.find("app");
    if (found.kind !== "image") throw new Error("an index");
    await using files = await openImageFiles(engine, found.image, signal);
    return (await listImageFiles(files, "/", "all", signal)).map(({ path }) => path);
  };

  test("over a base: one layer, with marks for what the base has and nothing that was removed again", async () => {
    const lines =
      "FROM busybox\nCOPY a b /d/\nRUN rm /d/a /bin/stat && echo x > /new\nENV A=b\nRUN mkdir /e && touch /e/f\n";
    const { manifest, config, names } = await run(lines);
    expect(manifest.layers).toHaveLength(2);
    expect(names[1]).toEqual(expect.arrayContaining(["bin/.wh.stat", "d/b", "e/f", "new"]));
    expect(names[1]).not.toContain("d/a");
    const layers = config.history.filter((entry) => entry.empty_layer !== true);
    expect(layers).toHaveLength(2);
    expect(layers[1]?.comment).toBe("3 layers, squashed");
    expect(config.rootfs.diff_ids).toHaveLength(2);
    const files = await filesOf();
    expect(files).toEqual(expect.arrayContaining(["bin/busybox", "d/b", "e/f", "new"]));
    expect(files).not.toContain("bin/stat");
    // A build in which nothing ran gives the same.
    expect((await run(lines)).manifest).toEqual(manifest);
  });

  test("without a base: one layer without any mark", async () => {
    const { names } = await run("FROM scratch\nCOPY a b /d/\nCOPY b /d/a\nCOPY a /c\n");
    expect(names).toEqual([["c", "d/", "d/a", "d/b"]]);
    expect(await filesOf()).toEqual(["c", "d", "d/a", "d/b"]);
  });

  test("one layer stays as it is, and no base becomes larger", async () => {
    const plain = await run("FROM busybox\nCOPY a /a\n", { squash: false });
    expect((await run("FROM busybox\nCOPY a /a\n")).manifest).toEqual(plain.manifest);
  });

  test("an inline cache names the steps' layers, which are not there", async () => {
    const cache = {
      from: [],
      to: [{ place: { kind: "inline" as const }, mode: "min" as const }],
    } as unknown as BuildOptions["cache"];
    await expect(run("FROM busybox\nCOPY a /a\nCOPY b /b\n", { cache })).rejects.toMatchObject({
      code: "cache/export-failed",
    });
  });

  test("more layers than docker takes are told", async () => {
    const lines = Array.from({ length: 126 }, (_, index) => `COPY a /f${index}`);
    const dockerfile = `FROM scratch\n${lines.join("\n")}\n`;
    expect((await run(dockerfile, { squash: false })).notices).toContain(
      "The image has 126 layers; docker takes at most 125",
    );
    expect((await run(dockerfile)).notices).toEqual([]);
  });
});
