import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeFiles } from "../../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../../test/support/environment.ts";
import { startTestRegistry, type TestRegistry } from "../../../test/support/registry.ts";
import type { ProgressEvent } from "../../../lib/core/progress.ts";
import { outputSpecs } from "../../cli/flags/outputs.ts";
import { openStore } from "../../../lib/store/open-store.ts";
import { locateNative } from "../../../lib/native/locate.ts";
import { build } from "../build.ts";
import type { BuildOptions } from "../options.ts";

const signal = new AbortController().signal;
const MINUTE = 60_000;

describe.skipIf(cannotRun !== undefined)("a base image that was pulled for a build", () => {
  let home = "";
  let registry: TestRegistry;
  let base = "";
  let nowMs = 0;
  const parts = testEnvironment(tmpdir(), { nowMs: () => nowMs });

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-moved-"));
    registry = await startTestRegistry();
    base = `${registry.host}/base:1`;
    nowMs = Date.parse("2026-01-01T00:00:00Z");
    await publish("one");
  });
  afterEach(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(home, { recursive: true, force: true });
  });

  const push = outputSpecs({ outputs: [], load: undefined, push: true, annotations: [] });

  /** Has the base's tag name another image, by another machine. */
  async function publish(text: string): Promise<void> {
    await run(
      {
        context: await context({ Dockerfile: `FROM scratch\nCOPY v /v\nENV V=${text}\n`, v: text }),
        tags: [base],
        outputs: push,
      },
      "maker",
    );
    registry.clearLog();
  }

  async function context(files: Readonly<Record<string, string>>): Promise<string> {
    const directory = await mkdtemp(join(home, "context-"));
    await mkdir(directory, { recursive: true });
    await writeFiles(directory, files);
    return directory;
  }

  async function run(
    options: BuildOptions,
    machine = "machine",
  ): Promise<{
    readonly notices: readonly string[];
    readonly missed: readonly string[];
    readonly V: string | undefined;
  }> {
    const events: ProgressEvent[] = [];
    const environment = { ...parts, root: join(home, machine), workingDirectory: home, homeDirectory: home };
    const { imageId } = await build({ ...options, progress: (event) => events.push(event) }, environment, signal);
    await using store = storeOf(machine);
    const manifest = imageId === undefined ? undefined : store.images.manifestOfConfig(imageId);
    const env = manifest === undefined ? [] : (store.images.get(manifest)?.config.config.Env ?? []);
    return {
      notices: events.flatMap((event) => (event.kind === "notice" ? [event.message] : [])),
      missed: events.flatMap((event) => (event.kind === "step-miss" ? [event.name] : [])),
      V: env.find((one) => one.startsWith("V="))?.slice(2),
    };
  }

  function storeOf(machine: string): ReturnType<typeof openStore> {
    return openStore(join(home, machine), { native: locateNative(), clock: { nowMs: () => nowMs } });
  }

  let app = "";
  beforeEach(async () => {
    app = await context({ Dockerfile: `FROM ${base}\nCOPY f /f\nCOPY f /g\n`, f: "f" });
  });

  test("is asked about again when the answer is old, and the build begins with what it is now", async () => {
    expect((await run({ context: app })).V).toBe("one");
    registry.clearLog();
    nowMs += 9 * MINUTE;
    expect(await run({ context: app })).toEqual({ V: "one", notices: [], missed: [] });
    expect(registry.requests).toEqual([]);
    nowMs += 2 * MINUTE;
    expect(await run({ context: app })).toEqual({ V: "one", notices: [], missed: [] });
    expect(registry.requests.map(({ method }) => method)).toEqual(["HEAD"]);
    registry.clearLog();
    nowMs += 5 * MINUTE;
    expect((await run({ context: app })).V).toBe("one");
    expect(registry.requests).toEqual([]);
    nowMs += 6 * MINUTE;
    await publish("two");
    const moved = await run({ context: app });
    expect(moved.V).toBe("two");
    expect(moved.notices).toEqual([`${base} is another image now than when it was pulled; the new one is used`]);
    // Copies do not depend on what lies below, and nothing had run for the image that went.
    expect(moved.missed.length).toBe(new Set(moved.missed).size);
    registry.clearLog();
    expect(await run({ context: app })).toEqual({ V: "two", notices: [], missed: [] });
    expect(registry.requests).toEqual([]);
  });

  test.each([
    { name: "--pull", options: { pull: true }, V: "two" },
    { name: "--pull=newer", options: { pull: "newer" }, V: "two" },
    { name: "a time of nothing", options: { pullTtlMs: 0 }, V: "two" },
    { name: "--pull=missing", options: { pull: "missing", pullTtlMs: 0 }, V: "one" },
    { name: "--pull=never", options: { pull: "never", pullTtlMs: 0 }, V: "one" },
    { name: "--offline", options: { offline: true, pullTtlMs: 0 }, V: "one" },
    { name: "--offline with --pull", options: { offline: true, pull: true }, V: "one" },
  ] as const)("with $name is $V", async ({ options, V }) => {
    await run({ context: app });
    await publish("two");
    const built = await run({ context: app, ...options });
    expect(built.V).toBe(V);
    if (V === "one") expect(registry.requests).toEqual([]);
  });

  test.each([
    { name: "is down", fault: undefined },
    { name: "does not know it any more", fault: { kind: "status", status: 404 } },
    { name: "refuses everyone", fault: { kind: "status", status: 403 } },
    { name: "never answers", fault: { kind: "silence" } },
    { name: "is in trouble", fault: { kind: "status", status: 503 } },
  ] as const)("is used as it is when the registry $name, which is said once", async ({ fault }) => {
    await run({ context: app });
    if (fault === undefined) await registry[Symbol.asyncDispose]();
    else registry.fail({ path: /./, kind: fault, times: 1000 });
    nowMs += 11 * MINUTE;
    const started = performance.now();
    const { V, notices } = await run({ context: app });
    expect(performance.now() - started).toBeLessThan(6000);
    expect(V).toBe("one");
    expect(notices).toEqual([
      expect.stringContaining(`The image of ${base} that was pulled 11 minutes ago is used: Cannot look up`),
    ]);
    expect(await run({ context: app })).toEqual({ V: "one", notices: [], missed: [] });
    nowMs += 2 * MINUTE;
    expect((await run({ context: app })).notices).toHaveLength(1);
  });

  test("that is missing is not fetched offline", async () => {
    await expect(run({ context: app, offline: true })).rejects.toMatchObject({ code: "image/not-found" });
    await expect(run({ context: app, pull: "never" })).rejects.toMatchObject({ code: "image/not-found" });
    expect(registry.requests).toEqual([]);
  });

  test("is asked about before anything runs", async () => {
    await run({ context: app });
    await publish("two");
    nowMs += 11 * MINUTE;
    const other = await context({ Dockerfile: `FROM ${base}\nCOPY --chown=1 f /other\n`, f: "f" });
    const { V, missed } = await run({ context: other });
    expect(V).toBe("two");
    expect(missed).toEqual([expect.stringContaining("COPY")]);
  });

  test("has no name here, and a name that a user gives it is never asked about", async () => {
    await run({ context: app });
    {
      await using store = storeOf("machine");
      expect(store.refs.list()).toEqual([]);
      expect(store.images.list().flatMap(({ names }) => names)).toEqual([]);
    }
    // A user's own image under the same name stays until the user replaces it.
    await run({ context: await context({ Dockerfile: "FROM scratch\nENV V=mine\n" }), tags: [base] });
    registry.clearLog();
    nowMs += 60 * MINUTE;
    expect((await run({ context: app, pullTtlMs: 0 })).V).toBe("mine");
    expect(registry.requests).toEqual([]);
  });

  test("that is pushed over from here is what was pushed", async () => {
    await run({ context: app });
    const files = { Dockerfile: `FROM scratch\nENV V=pushed\n` };
    await run({ context: await context(files), tags: [base], outputs: push });
    expect((await run({ context: app })).V).toBe("pushed");
    await using store = storeOf("machine");
    expect(store.refs.list().map(({ name }) => name)).toEqual([base]);
    // What the name meant in the registry before is not what it means when the name here goes.
    store.refs.delete(base);
    expect(store.pulled.get(base)).toBeUndefined();
  });

  test("that is pushed over without being kept here is asked for", async () => {
    await run({ context: app });
    const outputs = outputSpecs({
      outputs: ["type=registry,store=false"],
      load: undefined,
      push: false,
      annotations: [],
    });
    await run({ context: await context({ Dockerfile: `FROM scratch\nENV V=pushed\n` }), tags: [base], outputs });
    expect((await run({ context: app })).V).toBe("pushed");
  });
});
