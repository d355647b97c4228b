import { execFileSync } from "node:child_process";
import { readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { kiln, missing, mustKiln } from "../e2e/harness.ts";
import { type DiskUsageRow, diskUsage, totalOf } from "./disk-usage.ts";
import { useFreshStore } from "./fresh-store.ts";
import { startKiln, writeContext } from "./kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of the store's space are skipped: ${why}`);

describe.skipIf(why !== undefined)("space", { timeout: 120_000 }, () => {
  let store: string;
  let context: string;
  useFreshStore((fresh) => ({ store, context } = fresh));

  const build = (lines: readonly string[], ...args: string[]): void => {
    writeContext(context, { Dockerfile: ["FROM busybox", ...lines, ""].join("\n") });
    mustKiln(store, ["build", "--progress", "plain", ...args, context]);
  };
  const megabytes = (count: number, name: string): string =>
    `RUN dd if=/dev/urandom of=/${name} bs=1M count=${count} 2>/dev/null`;
  const du = (): number =>
    Number(execFileSync("du", ["-s", "--block-size=1", store], { encoding: "utf8" }).split("\t")[0]);

  interface Usage {
    readonly totalBytes: number;
    readonly otherBytes: number;
    readonly items: readonly DiskUsageRow[];
  }
  const usage = (): Usage => {
    const rows = diskUsage(store);
    const ofOther = (isOther: boolean): readonly DiskUsageRow[] =>
      rows.filter(({ Type }) => (Type === "other") === isOther);
    return { totalBytes: totalOf(rows), otherBytes: totalOf(ofOther(true)), items: ofOther(false) };
  };

  test("is shown by image, step and cache mount, and agrees with du", () => {
    build([
      megabytes(3, "a"),
      "RUN --mount=type=cache,target=/cache dd if=/dev/urandom of=/cache/x bs=1M count=2 2>/dev/null",
      "RUN mkdir /many && for n in $(seq 500); do echo $n > /many/$n; done",
    ]);
    const { totalBytes, otherBytes, items } = usage();
    expect(Math.abs(totalBytes - du()) / du()).toBeLessThan(0.02);
    expect(totalOf(items) + otherBytes).toBe(totalBytes);
    const bytesOf = (kind: string, text: string): number =>
      items.find((item) => item.Type === kind && item.Description.includes(text))?.Bytes ?? 0;
    expect(bytesOf("step", "of=/a")).toBeGreaterThan(3 << 20);
    expect(bytesOf("cache-mount", "/cache")).toBeGreaterThan(2 << 20);
    expect(bytesOf("image", "busybox")).toBeGreaterThan(1 << 19);
    expect(mustKiln(store, ["du"]).stdout).toMatch(/step +3\.\d+ ?MB.*of=\/a/);
  });

  test("is freed down to a limit, and a dry run says the same and frees nothing", () => {
    build([megabytes(8, "a"), megabytes(4, "b")]);
    build([megabytes(8, "c")]);
    for (const image of mustKiln(store, ["images", "-aq", "--no-trunc"]).stdout.split("\n").filter(Boolean)) {
      if (!mustKiln(store, ["images", "-q", "--no-trunc"]).stdout.includes(image)) mustKiln(store, ["rmi", image]);
    }
    const before = du();
    const dry = mustKiln(store, ["prune", "--dry-run", "--keep-storage", "20m"]).stdout;
    expect(dry).toContain("Total that would be reclaimed");
    expect(du()).toBe(before);
    const real = mustKiln(store, ["prune", "--keep-storage", "20m"]).stdout;
    expect(real.split("\n").filter((line) => line.startsWith("step"))).toEqual(
      dry.split("\n").filter((line) => line.startsWith("step")),
    );
    expect(du()).toBeLessThan(20 << 20);
    expect(du()).toBeGreaterThan(8 << 20);
  });

  test("is freed by type and by age, and what is in use by name stays", () => {
    build(
      ["RUN --mount=type=cache,target=/cache dd if=/dev/zero of=/cache/x bs=1M count=2 2>/dev/null", megabytes(2, "a")],
      "-t",
      "app",
    );
    expect(mustKiln(store, ["prune", "--filter", "unused-for=1h"]).stdout).toMatch(/^Total reclaimed: 0 ?B/);
    expect(mustKiln(store, ["prune", "--filter", "until=1h"]).stdout).toMatch(/^Total reclaimed: 0 ?B/);
    // A file that no row names has a line of its own: the lines add up to the total.
    writeFileSync(join(store, "blobs", "sha256", "0".repeat(64)), Buffer.alloc(8192));
    utimesSync(join(store, "blobs", "sha256", "0".repeat(64)), 1, 1);
    expect(mustKiln(store, ["prune", "--filter", "unused-for=1h", "--dry-run"]).stdout).toMatch(
      /^garbage\t8\.19 ?kB\tfiles that no row names\nTotal that would be reclaimed: 8\.19 ?kB/,
    );
    expect(mustKiln(store, ["prune", "--filter", "type=exec.cachemount"]).stdout).toMatch(/^cache-mount\t2\.\d/);
    expect(usage().items.some(({ Type }) => Type === "cache-mount")).toBe(false);
    mustKiln(store, ["prune", "--all"]);
    expect(mustKiln(store, ["run", "app", "sh", "-c", "wc -c < /a"]).stdout).toBe(`${2 << 20}\n`);
    expect(kiln(store, ["prune", "--filter", "type=nonsense"])).toMatchObject({ status: 125, stdout: "" });
    expect(kiln(store, ["fsck"]).stdout).toContain(" 0 problems, 0 files");
  });

  test("is kept within one limit by builds themselves, least valuable first", () => {
    const limited = (name: string): string => {
      writeContext(context, { Dockerfile: `FROM busybox\nRUN echo kept > /kept\n${megabytes(6, name)}\n` });
      const args = ["build", "--progress", "plain", "--output", "type=cacheonly", context];
      const made = kiln(store, args, { env: { KILN_KEEP_STORAGE: "24m" } });
      expect(made.status).toBe(0);
      return made.stderr;
    };
    expect(limited("a")).not.toContain("over its limit");
    const said = ["b", "c", "d", "e", "f"].map(limited);
    expect(said.join("")).toContain("The store was over its limit of");
    expect(du()).toBeLessThan((24 << 20) + (8 << 20));
    // The small step is worth more for its size than the large ones above it, so it is still there.
    expect(limited("f")).toMatch(/RUN echo kept > \/kept\n#\d+ CACHED/);
    expect(kiln(store, ["fsck"]).stdout).toContain(" 0 problems");
  });

  test("is never taken from a build that is running", async () => {
    writeContext(context, {
      Dockerfile: `FROM busybox\n${megabytes(1, "a")}\nRUN --mount=type=cache,target=/cache echo x > /cache/x; echo be''gun; sleep 1.5; wc -c < /a; cat /cache/x\n`,
    });
    const running = startKiln(store, ["build", "--progress", "plain", "-t", "app", context]);
    await running.said(" begun");
    mustKiln(store, ["prune", "--all"]);
    const { status, stderr } = await running.ended;
    expect(stderr).toMatch(/ 1048576\n/);
    expect(stderr).toMatch(/ x\n/);
    expect(status).toBe(0);
    expect(mustKiln(store, ["run", "app", "sh", "-c", "wc -c < /a"]).stdout).toBe("1048576\n");
    expect(kiln(store, ["fsck"]).stdout).toContain(" 0 problems");
  });

  test("damaged is found by fsck, repaired, and made again by the next build", () => {
    const snapshots = (): string[] => readdirSync(join(store, "snapshots"));
    const before = snapshots();
    build(["RUN echo first > /first", "RUN echo second > /second"], "-t", "app");
    const lost = snapshots().find((name) => name !== "empty" && !before.includes(name)) ?? "";
    rmSync(join(store, "snapshots", lost), { recursive: true });
    const found = kiln(store, ["fsck"]);
    expect(found.status).toBe(1);
    expect(found.stdout).toContain(lost);
    expect(kiln(store, ["fsck", "--repair"]).status).toBe(0);
    expect(kiln(store, ["fsck"])).toMatchObject({ status: 0, stdout: expect.stringContaining(" 0 problems") });
    build(["RUN echo first > /first", "RUN echo second > /second"], "-t", "app");
    expect(mustKiln(store, ["run", "app", "cat", "/first", "/second"]).stdout).toBe("first\nsecond\n");
  });
});
