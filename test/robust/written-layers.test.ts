import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { kiln, missing, mustKiln } from "../e2e/harness.ts";
import { diskUsage, totalOf } from "./disk-usage.ts";
import { useFreshStore } from "./fresh-store.ts";
import { startKiln, writeContext } from "./kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of layers that are written as a tar are skipped: ${why}`);

const FILES = 600;
/** Fixes the times in the result: WORKDIR's directories and the image have the time of the build without it. */
const DATED = ["--build-arg", "SOURCE_DATE_EPOCH=5"];

describe.skipIf(why !== undefined)("a copy of many small files that no step reads", { timeout: 120_000 }, () => {
  let folder: string;
  let store: string;
  let context: string;
  useFreshStore((fresh) => {
    ({ folder, store, context } = fresh);
    const files = Array.from({ length: FILES }, (_, n) => [`src/d${n % 7}/f${n}`, `file ${n}\n`.repeat(n % 9)]);
    writeContext(context, Object.fromEntries(files));
  });

  function build(changed: string, more: readonly string[] = [], ...args: string[]): string {
    writeContext(context, {
      Dockerfile: ["FROM busybox", "WORKDIR /app", "COPY src /app/src", ...more, ""].join("\n"),
      "src/d1/changed": changed,
    });
    for (const name of ["src/d1/changed", "src/d1", "src"]) utimesSync(join(context, name), 1000, 1000);
    return mustKiln(store, ["build", "-q", "-t", "app", ...DATED, ...args, context]).stdout.trim();
  }
  /** Lists the layers of the copy that are unpacked into files. */
  const unpacked = (): readonly string[] =>
    readdirSync(join(store, "snapshots")).filter((id) => existsSync(join(store, "snapshots", id, "app/src/d3/f3")));
  const fsck = (): void =>
    expect(kiln(store, ["fsck"])).toMatchObject({ status: 0, stdout: expect.stringContaining(" 0 problems") });

  test("makes no files until one is needed, and is the layer that a step of the same build would have read", () => {
    const written = build("one\n", ["LABEL a=b"]);
    expect(unpacked()).toEqual([]);
    build("two\n", ["LABEL a=b"]);
    const tar = join(folder, "image.tar");
    mustKiln(store, ["save", "-o", tar, "app"]);
    expect(unpacked()).toEqual([]);
    expect(build("one\n", ["LABEL a=b"], "--no-cache")).toBe(written);
    fsck();
    mustKiln(store, ["rmi", "app"]);
    mustKiln(store, ["load", "-i", tar]);
    expect(mustKiln(store, ["run", "--rm", "app", "cat", "/app/src/d1/changed", "/app/src/d0/f7"]).stdout).toBe(
      `two\n${"file 7\n".repeat(7)}`,
    );
    fsck();
  });

  test("may be ruined by a later step, and stays what it is", () => {
    const written = build("one\n");
    build("one\n", ["RUN cd /app/src && rm -r d0 && echo more >> d1/changed && chmod 777 d1/f1 && touch -d @5 d2/f2"]);
    expect(unpacked()).toHaveLength(1);
    expect(build("one\n")).toBe(written);
    expect(mustKiln(store, ["run", "--rm", "app", "cat", "/app/src/d1/changed"]).stdout).toBe("one\n");
    fsck();
  });

  test("is counted once, and goes with the image", () => {
    for (const text of ["one\n", "two\n", "three\n"]) build(text);
    const totalBytes = totalOf(diskUsage(store));
    const du = Number(execFileSync("du", ["-s", "--block-size=1", store], { encoding: "utf8" }).split("\t")[0]);
    expect(Math.abs(totalBytes - du) / du).toBeLessThan(0.02);
    const large = (): number =>
      readdirSync(join(store, "blobs/sha256")).filter(
        (name) => statSync(join(store, "blobs/sha256", name)).size > 300_000,
      ).length;
    expect(large()).toBe(3);
    mustKiln(store, ["prune", "--all"]);
    expect(large()).toBe(1);
    expect(mustKiln(store, ["run", "--rm", "app", "cat", "/app/src/d1/changed"]).stdout).toBe("three\n");
    fsck();
  });

  test("with a lost blob runs again when its files are needed", () => {
    build("one\n");
    for (const name of readdirSync(join(store, "blobs/sha256"))) {
      const path = join(store, "blobs/sha256", name);
      if (statSync(path).size > 300_000) rmSync(path);
    }
    writeContext(context, {
      Dockerfile: "FROM busybox\nWORKDIR /app\nCOPY src /app/src\nRUN cat /app/src/d1/changed > /seen\n",
    });
    const again = mustKiln(store, ["build", "--progress", "plain", "-t", "app", ...DATED, context]);
    expect(again.stderr).toContain("runs again");
    expect(mustKiln(store, ["run", "--rm", "app", "cat", "/seen"]).stdout).toBe("one\n");
    // The earlier image lost its layer and is damaged.
    expect(kiln(store, ["fsck"]).stdout).toContain(" 1 problems");
    mustKiln(store, ["fsck", "--repair"]);
    fsck();
  });

  test("can be stopped at any moment", async () => {
    for (const mark of ["why: d1/changed", "writing image"]) {
      build("one\n");
      writeContext(context, { "src/d1/changed": mark });
      const killed = startKiln(store, ["build", "--progress", "plain", "-t", "app", ...DATED, context]);
      await killed.said(mark);
      killed.child.kill("SIGKILL");
      await killed.ended;
      fsck();
      build(mark);
      expect(mustKiln(store, ["run", "--rm", "app", "cat", "/app/src/d1/changed"]).stdout).toBe(mark);
      fsck();
    }
  });
});
