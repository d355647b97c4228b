import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kiln, missing, mustKiln, type Outcome, temporary } from "../e2e/harness.ts";
import { importBusybox, writeContext } from "./kiln-process.ts";

const folder = temporary();
const store = join(folder.path, "store");
mkdirSync(store);
const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", store]);
const why = missing("busybox") ?? (mount.status === 0 ? undefined : "needs the right to mount a tmpfs");
if (why !== undefined) console.warn(`tests of builds on a full disk are skipped: ${why}`);

describe.skipIf(why !== undefined)("on a full disk", { timeout: 120_000 }, () => {
  const context = join(folder.path, "context");
  const build = (...args: string[]): Outcome =>
    kiln(store, ["build", "--progress", "plain", "-t", "app", ...args, context]);
  const checked = (): Outcome => kiln(store, ["fsck"]);

  beforeAll(() => {
    importBusybox(store, folder.path);
    const many = Array.from({ length: 520 }, (_, n) => [`many/${n}`, `${n} `.repeat(n)]);
    writeContext(context, Object.fromEntries(many));
  });
  afterAll(() => {
    spawnSync("umount", ["-l", store]);
    folder[Symbol.dispose]();
  });

  /** Fills the disk to its last block; dd ends with "no space left", as intended. */
  function fill(): void {
    spawnSync("dd", ["if=/dev/zero", `of=${join(store, "filler")}`, "bs=4k"]);
    expect(Number(execFileSync("df", ["--output=avail", store], { encoding: "utf8" }).split("\n")[1])).toBe(0);
  }

  test.each([
    { name: "a large COPY", dockerfile: "FROM busybox\nCOPY big /\n", fails: [1] },
    { name: "a COPY of many small files", dockerfile: "FROM busybox\nCOPY many /many/\n", fails: [1] },
    { name: "a RUN that writes", dockerfile: "FROM busybox\nRUN cat /bin/busybox /bin/busybox > /copy\n", fails: [1] },
    // The space with which the store was opened may be enough for these.
    { name: "a WORKDIR", dockerfile: "FROM busybox\nWORKDIR /a/b/c\n", fails: [0, 1] },
    { name: "only a label", dockerfile: "FROM busybox\nLABEL a=b\n", fails: [0, 1] },
  ])("$name leaves nothing wrong, and succeeds once there is space", ({ dockerfile, fails }) => {
    writeContext(context, { Dockerfile: dockerfile, big: "0123456789abcdef".repeat(1 << 16) });
    fill();
    const failed = build("--no-cache");
    expect(fails).toContain(failed.status);
    if (failed.status !== 0) {
      expect(failed.stderr).toContain("error[store/full]");
      expect(failed.stderr).toContain('hint: free space with "kiln prune"');
    }
    expect(failed.stderr).not.toMatch(/\n {4}at /);
    rmSync(join(store, "filler"));
    expect(checked()).toMatchObject({ status: 0, stdout: expect.stringContaining(" 0 problems") });
    const again = build();
    expect(again.stderr).not.toContain("error[");
    expect(again.status).toBe(0);
    expect(checked().status).toBe(0);
  });

  test("a build with everything cached still says what it found", () => {
    expect(build("--output", "type=cacheonly").status).toBe(0);
    fill();
    const cached = build("--output", "type=cacheonly");
    rmSync(join(store, "filler"));
    expect(cached.stderr).not.toContain("error[");
    expect(cached.status).toBe(0);
  });

  test("a RUN that fills the disk says so, whatever it says itself, and what it wrote is gone", () => {
    const free = (): number =>
      Number(execFileSync("df", ["--output=avail", store], { encoding: "utf8" }).split("\n")[1]);
    writeContext(context, {
      Dockerfile: "FROM busybox\nRUN cat /dev/zero > /big 2>/dev/null || { echo gave up; exit 3; }\n",
    });
    const before = free();
    const failed = build();
    expect(failed.status).toBe(1);
    expect(failed.stderr).toContain("error[store/full]");
    expect(failed.stderr).toContain("gave up");
    expect(failed.stderr).toContain('hint: free space with "kiln prune"');
    expect(failed.stderr).toContain("Dockerfile:2");
    expect(free()).toBeGreaterThan(before - 1024);
    expect(checked()).toMatchObject({ status: 0, stdout: expect.stringContaining(" 0 problems") });
  });

  test("prune makes space, and the build goes on", () => {
    writeContext(context, { Dockerfile: "FROM busybox\nCOPY big /\nRUN cat /big /big /big /big > /more\n" });
    expect(build().status).toBe(0);
    mustKiln(store, ["rmi", "app"]);
    fill();
    expect(build("--no-cache").status).toBe(1);
    const pruned = kiln(store, ["prune", "--all"]);
    expect(pruned.stderr).toBe("");
    expect(pruned.status).toBe(0);
    expect(build("--no-cache").status).toBe(0);
    rmSync(join(store, "filler"));
    expect(checked().stdout).toContain(" 0 problems");
  });
});
