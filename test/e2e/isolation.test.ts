import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, kiln, missing, mustKiln, temporary } from "./harness.ts";
import { contextFor, ROWS } from "./rows.ts";

// A program that enforces access rights itself gets another answer here than one that does not.
const DOCKERFILE = [
  "FROM base",
  "RUN echo secret > /f && chmod 600 /f",
  "USER 5",
  "RUN if cat /f >/dev/null 2>&1; then echo allowed; else echo denied; fi > /tmp/seen",
  "",
].join("\n");
const root = missing("busybox");
const weak = ROWS.filter(({ isolation }) => isolation === "single-id" || isolation === "chroot");
for (const row of weak) {
  const why = root ?? row.why;
  if (why !== undefined) console.warn(`tests of what ${row.name} and root share are skipped: ${why}`);
}

describe.each(weak)("$name and root", { timeout: 120_000 }, (row) => {
  const skip = (root ?? row.why) !== undefined;
  const folder = temporary();
  const shared = join(folder.path, "home");
  const rootStore = join(folder.path, "root");
  const archive = join(shared, "base.tar");
  beforeAll(() => {
    if (skip) return;
    // One image for both: its digest includes its creation time.
    mkdirSync(shared);
    mustKiln(rootStore, ["import", busyboxRoot(folder.path), "base"]);
    mustKiln(rootStore, ["save", "-o", archive, "base"]);
    execFileSync("chmod", ["-R", "a+rX", folder.path]);
    spawnSync("chmod", ["a+rwx", shared]);
    const loaded = row.kiln(folder.path, ["load", "-i", archive]);
    if (loaded.status !== 0) throw new Error(loaded.stderr);
  });
  afterAll(() => folder[Symbol.dispose]());

  const context = (): string => contextFor(folder.path, { Dockerfile: DOCKERFILE });
  const build = (cache: readonly string[]): string[] => [
    "build",
    "--progress",
    "plain",
    "-t",
    "app",
    ...cache,
    context(),
  ];
  const to = (name: string): string[] => ["--cache-to", `type=local,dest=${join(shared, name)},mode=max`];
  const from = (name: string): string[] => ["--cache-from", `type=local,src=${join(shared, name)}`];

  test.skipIf(skip)("a weak result is not taken where rights are enforced", () => {
    expect(row.kiln(folder.path, build(to("weak")))).toMatchObject({ status: 0 });
    mustKiln(rootStore, ["prune", "-f"]);
    const { status, stderr } = kiln(rootStore, build(from("weak")));
    expect(stderr.match(/\] RUN /g)).toHaveLength(2);
    expect(stderr).not.toMatch(/\] RUN .*\n#\d+ CACHED/);
    expect(status).toBe(0);
    expect(mustKiln(rootStore, ["run", "--rm", "app", "cat", "/tmp/seen"]).stdout).toBe("denied\n");
  });

  test.skipIf(skip)("a strong result serves the weaker", () => {
    const cache = join(shared, "strong");
    expect(kiln(rootStore, build(to("strong")))).toMatchObject({ status: 0 });
    execFileSync("chmod", ["-R", "a+rX", cache]);
    row.kiln(folder.path, ["prune", "-f"]);
    const { status, stderr } = row.kiln(folder.path, build(from("strong")));
    expect(status).toBe(0);
    expect(stderr).not.toMatch(/why:/);
  });
});
