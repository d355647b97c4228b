import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { parseOutput } from "../export/parse-output.ts";
import { build } from "./build.ts";
import { Engine } from "./engine.ts";
import { exportStored } from "./images/export-stored.ts";

if (cannotRun !== undefined) console.warn(`skipped: times of files with an epoch: ${cannotRun}`);

const OLD = 978_307_200; // 2001-01-01
const EPOCH = 1_500_000_000;
const NEW = 1_600_000_000;
const DOCKERFILE = ["FROM scratch", "WORKDIR /made", "COPY old new /c/", "ADD a.tar /t/", "COPY d /d/", ""].join("\n");

describe.skipIf(cannotRun !== undefined)("with SOURCE_DATE_EPOCH", () => {
  let home = "";
  let context = "";
  let events: ProgressEvent[] = [];

  beforeEach(async () => {
    events = [];
    home = await mkdtemp(join(tmpdir(), "kiln-epoch-"));
    context = join(home, "context");
    await mkdir(join(context, "d"), { recursive: true });
    for (const [name, time] of Object.entries({ old: OLD, new: NEW, "d/f": OLD, d: NEW })) {
      if (name !== "d") await writeFile(join(context, name), name);
      await utimes(join(context, name), time, time);
    }
    spawnSync("tar", ["-cf", join(context, "a.tar"), "-C", context, "old", "new"]);
    await writeFile(join(context, "Dockerfile"), DOCKERFILE);
  });
  afterEach(async () => rm(home, { recursive: true, force: true }));

  const run = async (
    attributes: Readonly<Record<string, string>>,
    args: Readonly<Record<string, string>> = { SOURCE_DATE_EPOCH: String(EPOCH) },
    store = "store",
  ): Promise<void> => {
    const destination = join(home, "out");
    await rm(destination, { recursive: true, force: true });
    await build(
      {
        context,
        buildArgs: args,
        outputs: [parseOutput(new Map(Object.entries({ ...attributes, dest: destination })))],
        progress: (event) => events.push(event),
      },
      testEnvironment(join(home, store)),
      new AbortController().signal,
    );
  };

  /** Times of a tar's members by path; directories without the slash at their end. */
  const timesIn = (tar: string): ReadonlyMap<string, number> => {
    const { stdout } = spawnSync("tar", ["--full-time", "-tvf", tar], {
      env: { TZ: "UTC", PATH: process.env["PATH"] },
      encoding: "utf8",
    });
    return new Map(
      stdout.split("\n").flatMap((line) => {
        const [, , , day = "", time = "", path] = line.split(/\s+/);
        return path === undefined ? [] : [[path.replace(/\/$/, ""), Date.parse(`${day}T${time}Z`) / 1000]];
      }),
    );
  };

  /** Times of all layers of the OCI layout, and its configuration. */
  const layout = async (): Promise<{
    times: Map<string, number>;
    config: { created?: string; history: { created: string }[] };
    annotations: unknown;
  }> => {
    const blob = (digest: string): string => join(home, "out/blobs/sha256", digest.slice(7));
    const json = async (path: string): Promise<never> => JSON.parse(await readFile(path, "utf8")) as never;
    const index: { manifests: { digest: string; annotations: unknown }[] } = await json(join(home, "out/index.json"));
    const [root] = index.manifests;
    const manifest: { config: { digest: string }; layers: { digest: string }[] } = await json(blob(root?.digest ?? ""));
    const times = new Map(manifest.layers.flatMap(({ digest }) => [...timesIn(blob(digest))]));
    return { times, config: await json(blob(manifest.config.digest)), annotations: root?.annotations };
  };

  test("files keep their times, and WORKDIR, history and the image take it", async () => {
    await run({ type: "oci", tar: "false" });
    const { times, config, annotations } = await layout();
    expect(Object.fromEntries(times)).toMatchObject({
      made: EPOCH,
      "c/old": OLD,
      "c/new": NEW,
      "t/old": OLD,
      "t/new": NEW,
      d: NEW,
      "d/f": OLD,
    });
    expect(times.get("c")).toBeGreaterThan(NEW);
    expect(new Set([config.created, ...config.history.map(({ created }) => created)])).toEqual(
      new Set(["2017-07-14T02:40:00Z"]),
    );
    expect(annotations).toMatchObject({ "org.opencontainers.image.created": "2017-07-14T02:40:00Z" });
  });

  test.each([{ kind: "oci" }, { kind: "docker" }])(
    "rewrite-timestamp lowers what is later, in $kind",
    async ({ kind }) => {
      await run({ type: kind, tar: "false", "rewrite-timestamp": "true" });
      const { times } = await layout();
      expect(Object.fromEntries(times)).toEqual({
        made: EPOCH,
        c: EPOCH,
        "c/old": OLD,
        "c/new": EPOCH,
        t: EPOCH,
        "t/old": OLD,
        "t/new": EPOCH,
        d: EPOCH,
        "d/f": OLD,
      });
    },
  );

  test("a rewritten archive is the same from a warm store, an empty one, and after another epoch", async () => {
    const archive = async (store: string, epoch: number): Promise<Buffer> => {
      await run({ type: "oci", "rewrite-timestamp": "true" }, { SOURCE_DATE_EPOCH: String(epoch) }, store);
      return readFile(join(home, "out"));
    };
    await archive("one", 1_400_000_000);
    await archive("one", 1_600_000_001);
    expect((await archive("one", EPOCH)).equals(await archive("two", EPOCH))).toBe(true);
  });

  test.each([
    { name: "few files", files: 0 },
    { name: "many small files, whose layer is only a tar", files: 600 },
  ])("an image of the store has the rewritten times, and can be read: $name", async ({ files }) => {
    for (let at = 0; at < files; at += 1) await writeFile(join(context, "d", `f${at}`), "x");
    await utimes(join(context, "d"), NEW, NEW);
    const store = async (image: Readonly<Record<string, string>>): Promise<string | undefined> =>
      (
        await build(
          {
            context,
            tags: ["dated"],
            buildArgs: { SOURCE_DATE_EPOCH: String(EPOCH) },
            outputs: [parseOutput(new Map(Object.entries({ type: "image", ...image })))],
          },
          testEnvironment(join(home, "store")),
          new AbortController().signal,
        )
      ).manifest?.digest;
    // The same image with its own times was there before.
    const plain = await store({});
    const first = await store({ "rewrite-timestamp": "true" });
    expect(first).not.toBe(plain);
    expect(await store({ "rewrite-timestamp": "true" })).toBe(first);
    const destination = join(home, "out");
    {
      await using engine = new Engine(testEnvironment(join(home, "store")), { progress: () => {} });
      const output = parseOutput(new Map(Object.entries({ type: "oci", tar: "false", dest: destination })));
      await exportStored(engine, { image: "dated", output, progress: () => {} }, new AbortController().signal);
    }
    const { times } = await layout();
    expect(times.get("c")).toBe(EPOCH);
    expect(times.get("c/old")).toBe(OLD);
    expect(Math.max(...times.values())).toBe(EPOCH);
    await writeFile(join(context, "Dockerfile"), "FROM dated\nCOPY new /over/\n");
    await run({ type: "oci", tar: "false" });
    expect((await layout()).times.get("c")).toBe(EPOCH);
  });

  test("another epoch runs no COPY again", async () => {
    await run({ type: "oci", tar: "false" });
    events = [];
    await run({ type: "oci", tar: "false" }, { SOURCE_DATE_EPOCH: "5" });
    const ran = events.filter((event) => event.kind === "step-started").map(({ name }) => name);
    expect(ran.filter((name) => /\d\] (?:COPY|ADD)/.test(name))).toEqual([]);
  });

  test("an epoch that is still to come dates history and the image as well", async () => {
    await run({ type: "oci", tar: "false" }, { SOURCE_DATE_EPOCH: "4102444800" });
    const { config } = await layout();
    expect(config.created).toBe("2100-01-01T00:00:00Z");
    expect(config.history.every(({ created }) => created === "2100-01-01T00:00:00Z")).toBe(true);
  });

  test("every file of a folder and of a tar has it", async () => {
    await run({ type: "local" });
    const files = await readdir(join(home, "out"), { recursive: true });
    expect(files.length).toBeGreaterThan(7);
    for (const name of files) {
      expect([name, (await stat(join(home, "out", name))).mtimeMs]).toEqual([name, EPOCH * 1000]);
    }
    await run({ type: "tar" });
    const times = timesIn(join(home, "out"));
    expect(times.size).toBeGreaterThan(7);
    expect(new Set(times.values())).toEqual(new Set([EPOCH]));
    await run({ type: "tar", "source-date-epoch": "7" });
    expect(new Set(timesIn(join(home, "out")).values())).toEqual(new Set([7]));
  });

  test("a default of the Dockerfile counts, an argument counts before it, and an empty one takes it away", async () => {
    await writeFile(join(context, "Dockerfile"), "ARG SOURCE_DATE_EPOCH=5\nFROM scratch\nLABEL a=b\n");
    const created = async (args: Readonly<Record<string, string>>): Promise<string | undefined> => {
      await run({ type: "oci", tar: "false" }, args);
      return (await layout()).config.created;
    };
    expect(await created({})).toBe("1970-01-01T00:00:05Z");
    expect(await created({ SOURCE_DATE_EPOCH: "7" })).toBe("1970-01-01T00:00:07Z");
    expect(await created({ SOURCE_DATE_EPOCH: "" })).toBe(undefined);
  });

  test("rewrite-timestamp without a date says so", async () => {
    await run({ type: "oci", tar: "false", "rewrite-timestamp": "true" }, {});
    const notices = events.filter((event) => event.kind === "notice").map(({ message }) => message);
    expect(notices.join("\n")).toContain("no source-date-epoch was found");
  });

  test.each(["yesterday", "1.5", "1e9", "0x5", " 5", "99999999999999999999", "253402300800", "-99999999999999"])(
    "%j is refused",
    async (text) => {
      const work = run({ type: "oci" }, { SOURCE_DATE_EPOCH: text });
      await expect(work).rejects.toMatchObject({ code: "dockerfile/arg" });
    },
  );
});
