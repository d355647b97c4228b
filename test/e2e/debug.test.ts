import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { busyboxRoot, kiln, PROJECT, missing, mustKiln, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of KILN_DEBUG and --trace are skipped: ${why}`);

const SECRET = "correct-horse-battery-staple";

describe.skipIf(why !== undefined)("what a build tells its developers", { timeout: 60_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");

  beforeAll(() => {
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
    mkdirSync(context);
    writeFileSync(join(folder.path, "secret"), SECRET);
    writeFileSync(
      join(context, "Dockerfile"),
      "FROM base\nARG PROXY_PASSWORD\nRUN --mount=type=secret,id=s --mount=type=secret,id=s,env=TOKEN test -n $TOKEN && echo built\nCOPY Dockerfile /\n",
    );
  });
  afterAll(() => folder[Symbol.dispose]());

  const build = (areas: string) => {
    const secrets = ["--secret", `id=s,src=${folder.path}/secret`, "--build-arg", `PROXY_PASSWORD=${SECRET}`];
    const env = { KILN_DEBUG: areas, HTTP_PROXY: `http://me:${SECRET}@127.0.0.1:9` };
    return kiln(store, ["build", "--no-cache", "--progress", "plain", ...secrets, context], { env });
  };

  test("KILN_DEBUG=runtime shows the plan of each step, and no secret", () => {
    const { status, stderr } = build("runtime");
    expect(status).toBe(0);
    expect(stderr).toMatch(/^ *\d+\.\d ms runtime: plan:\n {4}scratch .*\n {4}namespace pid\n/m);
    expect(stderr).toContain('    arg "test -n $TOKEN && echo built"\n');
    expect(stderr).toContain("    env TOKEN=...\n");
    expect(stderr).not.toContain(SECRET);
  });

  test("KILN_DEBUG=* has something of each area that a build without a registry uses, and no secret", () => {
    const { status, stderr } = build("*");
    expect(status).toBe(0);
    const told = [...stderr.matchAll(/^ *\d+\.\d ms (\w+): /gm)].map(([, area]) => area);
    expect(new Set(told)).toEqual(new Set(["cache", "engine", "export", "runtime", "schedule", "sources", "store"]));
    expect(stderr).not.toContain(SECRET);
  });

  describe("--trace", () => {
    interface Span {
      readonly ph: string;
      readonly cat?: string;
      readonly name: string;
      readonly ts: number;
      readonly dur: number;
      readonly args: Readonly<Record<string, unknown>>;
    }
    const file = join(folder.path, "trace.json");
    const traced = (...args: readonly string[]) =>
      kiln(store, ["build", "--no-cache", "--progress", "plain", "--trace", file, ...args]);
    const spansOf = (path = file): readonly Span[] =>
      (JSON.parse(readFileSync(path, "utf8")) as { readonly traceEvents: readonly Span[] }).traceEvents.filter(
        ({ ph }) => ph === "X",
      );
    const context2 = (name: string, text: string): string => {
      const path = join(folder.path, name);
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, "Dockerfile"), text);
      return path;
    };
    beforeEach(() => rmSync(file, { force: true }));

    test("has the phases of a build and its steps, one in the other", () => {
      const secrets = ["--secret", `id=s,src=${folder.path}/secret`, "--build-arg", `PROXY_PASSWORD=${SECRET}`];
      expect(traced(...secrets, context).status).toBe(0);
      const spans = spansOf();
      const phase = (name: string): Span | undefined => spans.find((one) => one.cat === "engine" && one.name === name);
      const [prepare, solve, export_] = ["prepare", "solve", "export"].map(phase);
      const step = spans.find(({ cat, name }) => cat === "steps" && name.includes("RUN"));
      expect(step?.args).toMatchObject({ result: "done" });
      expect((prepare?.ts ?? 0) + (prepare?.dur ?? 0)).toBeLessThanOrEqual(solve?.ts ?? 0);
      expect(step?.ts).toBeGreaterThanOrEqual(solve?.ts ?? Number.NaN);
      expect((step?.ts ?? 0) + (step?.dur ?? 0)).toBeLessThanOrEqual(export_?.ts ?? 0);
      expect(spans.map(({ name }) => name)).toContain("sandbox");
      expect(spans.some(({ cat, name }) => cat === "export" && name.startsWith("measure layer "))).toBe(true);
      expect(readFileSync(file, "utf8")).not.toContain(SECRET);
    });

    test("is whole when a step fails", () => {
      expect(traced(context2("fails", "FROM base\nRUN exit 3\n")).status).toBe(1);
      const step = spansOf().find(({ cat, name }) => cat === "steps" && name.includes("RUN"));
      expect(step?.args).toMatchObject({ result: "failed" });
    });

    test("is whole when the Dockerfile is wrong", () => {
      expect(traced(context2("wrong", "FROM base\nRUMBLE\n")).status).toBe(1);
      expect(spansOf().map(({ name }) => name)).toContain("prepare");
    });

    test("is whole when the build is interrupted", async () => {
      const args = ["--root", store, "build", "--no-cache", "--progress", "plain", "--trace", file];
      const sleeps = context2("sleeps", "FROM base\nRUN echo began && sleep 60\n");
      const child = spawn(join(PROJECT, "bin/kiln"), [...args, sleeps], { stdio: ["ignore", "ignore", "pipe"] });
      let told = "";
      for await (const chunk of child.stderr) {
        told += String(chunk);
        if (/^#\d+ [\d.]+ began$/m.test(told)) child.kill("SIGINT");
      }
      const step = spansOf().find(({ cat, name }) => cat === "steps" && name.includes("RUN"));
      expect(step?.args).toMatchObject({ result: "cancelled" });
    });

    test("replaces an earlier file, and leaves nothing beside it", () => {
      writeFileSync(file, "earlier");
      expect(traced("--check", context).status).toBe(1);
      expect(readFileSync(file, "utf8")).toMatch(/^\{"displayTimeUnit"/);
      expect(readdirSync(folder.path).filter((name) => name.includes("trace"))).toEqual(["trace.json"]);
    });

    test.each([
      { name: "a folder", path: ".", says: "it is a directory" },
      { name: "a device", path: "/dev/null", says: "it is a device, a pipe or a socket" },
      { name: "a folder that is not there", path: "nothere/trace", says: "there is no directory" },
      { name: "a folder that is not writable", path: "/proc/trace", says: "for --trace: " },
    ])("$name is refused before anything is done", ({ path, says }) => {
      const { status, stderr } = kiln(store, ["build", "--trace", path, context], { cwd: folder.path });
      expect(status).toBe(1);
      expect(stderr).toMatch(/^error\[export\/failed\]: Cannot write .* for --trace: /);
      expect(stderr).toContain(says);
      expect(stderr).not.toContain("load build definition");
    });
  });
});
