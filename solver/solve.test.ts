import { snapshotId } from "../lib/store/snapshot-id.ts";
import { readFileSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { SolveOptions, SolveResult, SolverDeps } from "./deps.ts";
import type { Vertex } from "./graph/vertex.ts";
import { solve } from "./solve.ts";
import { Workbench } from "./testing/workbench.ts";

const never = new AbortController().signal;

async function build(
  bench: Workbench,
  target: Vertex | readonly Vertex[],
  over: {
    readonly deps?: Partial<SolverDeps>;
    readonly options?: Partial<SolveOptions>;
    readonly signal?: AbortSignal;
  } = {},
): Promise<SolveResult> {
  bench.events = [];
  bench.ran.length = 0;
  bench.hashed.length = 0;
  bench.materialized.length = 0;
  using deps = bench.deps(over.deps);
  const targets = "op" in target ? [target] : target;
  return await solve(bench.graph(...targets), deps, bench.options(over.options), over.signal ?? never);
}

/** Adds a compiler: its output is the first line of its source. */
function compiler(bench: Workbench): void {
  bench.commands.set("make", (tree) => tree.write("out/app", tree.read("src/a.c")?.split("\n")[0] ?? "nothing"));
  bench.commands.set("test", (tree) => tree.write("tested", `tested ${tree.read("out/app")}`));
}

function layersOf(result: SolveResult): readonly string[] {
  return (result.targets[0]?.layers ?? []).map((layer) => layer.snapshot);
}

test("an unchanged build runs, hashes, mounts and materialises nothing", async () => {
  await using bench = new Workbench();
  compiler(bench);
  bench.file("src/a.c", "one");
  const target = bench.run(bench.run(bench.copy(bench.image("one"), "src", "/src"), "make"), "test");
  const first = await build(bench, target);
  expect(bench.ran).toEqual(["make", "test"]);
  const second = await build(bench, target);
  expect(bench.ran).toEqual([]);
  expect(bench.hashed).toEqual([]);
  expect(bench.materialized).toEqual([]);
  expect(layersOf(second)).toEqual(layersOf(first));
  expect(second.outcomes.get(target.digest)?.how).toBe("cached");
  expect(bench.events.map((event) => event.kind)).toEqual(["step-cached", "step-cached", "step-cached", "step-cached"]);
});

test("layers name the vertices that made them", async () => {
  await using bench = new Workbench();
  compiler(bench);
  bench.file("src/a.c", "one");
  const base = bench.image("one");
  const copied = bench.copy(base, "src", "/src");
  const made = bench.run(copied, "make");
  const linked = bench.copy(undefined, "src/a.c", "/extra/");
  const target = bench.run(bench.merge(made, linked), "test");
  const owners = [base, copied, made, linked, target].map((vertex) => vertex.digest);
  const first = await build(bench, target);
  expect(first.targets[0]?.layers.map((layer) => layer.vertex)).toEqual(owners);
  const cached = await build(bench, target);
  expect(cached.targets[0]?.layers.map((layer) => layer.vertex)).toEqual(owners);
});

test("a changed file runs what depends on it, and says which file", async () => {
  await using bench = new Workbench();
  compiler(bench);
  bench.file("src/a.c", "one");
  bench.file("src/b.c", "other");
  const target = (): Vertex => bench.run(bench.copy(bench.image("one"), "src", "/src"), "make");
  await build(bench, target());
  expect(bench.reasons()).toEqual(["COPY src /src: never built here", "RUN make: never built here"]);
  bench.file("src/a.c", "two");
  await build(bench, target());
  expect(bench.ran).toEqual(["make"]);
  expect(bench.reasons()).toEqual(["COPY src /src: a.c (content)", "RUN make: after COPY src /src"]);
});

test("times of files do not count", async () => {
  await using bench = new Workbench();
  compiler(bench);
  bench.file("src/a.c", "one");
  const target = bench.run(bench.copy(bench.image("one"), "src", "/src"), "make");
  await build(bench, target);
  utimesSync(join(bench.context, "src/a.c"), 1000, 1000);
  await build(bench, target);
  expect(bench.ran).toEqual([]);
});

test("a command that ends where it ended before stops the change, in a chain of commands", async () => {
  await using bench = new Workbench();
  compiler(bench);
  bench.file("src/a.c", "one\n// comment");
  const compiled = bench.run(bench.image("one"), "make", {
    mounts: [{ type: "bind", target: "/src", input: 1, source: "src", mode: "ro" }],
    inputs: [bench.local()],
  });
  const chain = bench.run(compiled, "test");
  const first = await build(bench, chain);
  expect(bench.ran).toEqual(["make", "test"]);
  bench.file("src/a.c", "one\n// another comment");
  const second = await build(bench, chain);
  expect(bench.ran).toEqual(["make"]);
  expect(layersOf(second)).toEqual(layersOf(first));
  expect(second.outcomes.get(chain.digest)?.how).toBe("cutoff");
  expect(bench.reasons()).toEqual(["RUN make: a.c (content)"]);
  // The alias makes the next build a plain hit.
  const third = await build(bench, chain);
  expect(bench.ran).toEqual([]);
  expect(third.outcomes.get(chain.digest)?.how).toBe("cached");
});

test.each([
  { name: "a run", chain: 1 },
  { name: "a chain of runs", chain: 3 },
])("an equal result is found behind many others of the same line: $name", async ({ chain }) => {
  await using bench = new Workbench();
  compiler(bench);
  bench.commands.set("next", (tree) => tree.write("next", `${tree.read("tested")} again`));
  const made = async (flag: string, app: string): Promise<SolveResult> => {
    bench.commands.set("make", (tree) => tree.write("out/app", app));
    let last = bench.run(bench.run(bench.image("one"), "make", { env: [`FLAG=${flag}`] }), "test");
    for (let count = 1; count < chain; count += 1) last = bench.run(last, "next");
    return build(bench, last);
  };
  const first = await made("0", "same");
  for (let edit = 1; edit <= 12; edit += 1) await made(String(edit), `other ${edit}`);
  const last = await made("13", "same");
  expect(bench.ran).toEqual(["make"]);
  expect(layersOf(last)).toEqual(layersOf(first));
});

/** Makes a command that dates `out/dated` by its variable; 0 leaves the time of the run. */
function dated(bench: Workbench, seconds: string): Vertex {
  bench.commands.set("date", (tree) => {
    tree.write("out/dated", "same");
    if (Number(seconds) > 0) tree.setTime("out/dated", Number(seconds));
  });
  bench.commands.set("look", (tree) => tree.write("seen", "looked"));
  return bench.run(bench.run(bench.image("one"), "date", { env: [`DATE=${seconds}`] }), "look");
}

test.each([
  { name: "a time set by a command counts", dates: ["1000", "2000"], ran: ["date", "look"] },
  { name: "the same time again does not", dates: ["1000", "01000"], ran: ["date"] },
  { name: "nor does the time of the run", dates: ["0", "00"], ran: ["date"] },
  { name: "a time set instead of the run's counts", dates: ["0", "2000"], ran: ["date", "look"] },
])("$name", async ({ dates: [before = "", after = ""], ran }) => {
  await using bench = new Workbench();
  const first = await build(bench, dated(bench, before));
  const second = await build(bench, dated(bench, after));
  expect(bench.ran).toEqual(ran);
  const layer = second.targets[0]?.layers[1]?.snapshot ?? snapshotId("none");
  const seconds = Math.floor(statSync(join(bench.snapshotter.pathOf(layer), "out/dated")).mtimeMs / 1000);
  if (Number(after) > 0) expect(seconds).toBe(Number(after));
  // The older of two equal layers stays.
  expect(layersOf(second)[1] === layersOf(first)[1]).toBe(ran.length === 1);
});

test("what need not run goes on the new lower layers", async () => {
  await using bench = new Workbench();
  compiler(bench);
  bench.file("src/a.c", "one");
  const chain = (other: Workbench, cache: "use" | "skip"): Vertex =>
    other.run(other.run(other.copy(other.image("one"), "src", "/src"), "make", { cache }), "test");
  const first = layersOf(await build(bench, chain(bench, "use")));
  // --no-cache: its new result counts, and the command after it finds the same input as before.
  await using fresh = new Workbench(bench.directory);
  compiler(fresh);
  fresh.file("src/a.c", "one");
  const second = layersOf(await build(fresh, chain(fresh, "skip")));
  expect(fresh.ran).toEqual(["make"]);
  expect(second[2]).not.toBe(first[2]);
  expect([second[0], second[1], second[3]]).toEqual([first[0], first[1], first[3]]);
  // The record holds the same.
  expect(layersOf(await build(bench, chain(bench, "use")))).toEqual(second);
  expect(bench.ran).toEqual([]);
});

test("a re-run stage with equal files stops the change at COPY --from", async () => {
  await using bench = new Workbench();
  compiler(bench);
  bench.file("src/a.c", "one\n// comment");
  const target = (): Vertex => {
    const built = bench.run(bench.copy(bench.image("one"), "src", "/src", { stage: "build" }), "make", {
      stage: "build",
    });
    return bench.run(bench.copy(bench.image("two"), "/out", "/app", { from: built }), "use");
  };
  bench.commands.set("use", (tree) => tree.write("used", tree.read("app/app") ?? ""));
  const first = await build(bench, target());
  bench.file("src/a.c", "one\n// other");
  const second = await build(bench, target());
  expect(bench.ran).toEqual(["make"]);
  expect(layersOf(second)).toEqual(layersOf(first));
  bench.file("src/a.c", "three");
  await build(bench, target());
  expect(bench.ran).toEqual(["make", "use"]);
  expect(bench.reasons()).toContain("COPY /out /app: app (content)");
});

test("a build argument that changes nothing is named, and the chain behind it stays", async () => {
  await using bench = new Workbench();
  bench.commands.set("install", (tree) => tree.write("lib", "always the same"));
  bench.commands.set("after", (tree) => tree.write("after", "x"));
  const target = (sha: string): Vertex =>
    bench.run(bench.run(bench.image("one"), "install", { env: [`GIT_SHA=${sha}`], argNames: ["GIT_SHA"] }), "after");
  await build(bench, target("1"));
  await build(bench, target("2"));
  expect(bench.ran).toEqual(["install"]);
  expect(bench.reasons()).toEqual(["RUN install: ARG GIT_SHA changed"]);
});

test("a moved base image is the reason", async () => {
  await using bench = new Workbench();
  bench.commands.set("x", (tree) => tree.write("x", "x"));
  await build(bench, bench.run(bench.image("one", "node:22"), "x"));
  await build(bench, bench.run(bench.image("two", "node:22"), "x"));
  expect(bench.reasons()).toEqual(["RUN x: FROM node:22: digest moved"]);
});

test("another name for the same manifest is the same image", async () => {
  await using bench = new Workbench();
  bench.commands.set("x", (tree) => tree.write("x", "x"));
  await build(bench, bench.run(bench.image("one", "node:22"), "x"));
  await build(bench, bench.run(bench.image("one", "mirror/node:22"), "x"));
  expect(bench.ran).toEqual([]);
});

test("--no-cache runs, says so, records, and shares nothing", async () => {
  await using bench = new Workbench();
  bench.commands.set("x", (tree) => tree.write("x", "x"));
  const first = await build(bench, bench.run(bench.image("one"), "x"));
  await using again = new Workbench(bench.directory);
  again.commands.set("x", (tree) => tree.write("x", "x"));
  const skipped = await build(again, again.run(again.image("one"), "x", { cache: "skip" }));
  expect(again.reasons()).toEqual(["RUN x: --no-cache"]);
  expect(layersOf(skipped)).not.toEqual(layersOf(first));
  const later = await build(bench, bench.run(bench.image("one"), "x"));
  expect(bench.ran).toEqual([]);
  expect(layersOf(later)).toEqual(layersOf(skipped));
});

test("what comes after a --no-cache step is not taken from an older run of that step", async () => {
  await using first = new Workbench();
  const round = async (
    fetched: string,
    cache: "use" | "skip",
  ): Promise<{
    readonly layers: readonly string[];
    readonly ran: readonly string[];
    readonly reasons: readonly string[];
  }> => {
    await using bench = new Workbench(first.directory);
    bench.commands.set("fetch", (tree) => tree.write("fetched", fetched));
    bench.commands.set("use", (tree) => tree.write("used", tree.read("fetched") ?? ""));
    const result = await build(bench, bench.run(bench.run(bench.image("one"), "fetch", { cache }), "use"));
    return { layers: layersOf(result), ran: [...bench.ran], reasons: bench.reasons() };
  };
  expect((await round("old", "use")).ran).toEqual(["fetch", "use"]);
  expect((await round("old", "skip")).ran).toEqual(["fetch"]);
  const other = await round("new", "skip");
  expect(other.ran).toEqual(["fetch", "use"]);
  expect(other.reasons).toEqual(["RUN fetch: --no-cache", "RUN use: an earlier step ran again"]);
  expect(await round("never run", "use")).toEqual({ layers: other.layers, ran: [], reasons: [] });
});

test("equal steps of two stages run once", async () => {
  await using bench = new Workbench();
  bench.commands.set("x", (tree) => tree.write("x", "x"));
  bench.commands.set("y", (tree) => tree.write("y", "y"));
  bench.commands.set("z", (tree) => tree.write("z", "z"));
  const shared = bench.run(bench.image("one"), "x");
  await build(bench, [bench.run(shared, "y"), bench.run(shared, "z")]);
  expect(bench.ran.toSorted()).toEqual(["x", "y", "z"]);
});

test("no more steps run at one time than jobs, and independent ones do run together", async () => {
  await using bench = new Workbench();
  let running = 0;
  let most = 0;
  const together = Promise.withResolvers<void>();
  const targets = Array.from({ length: 6 }, (_, i) => {
    bench.commands.set(`job ${i}`, async () => {
      running += 1;
      most = Math.max(most, running);
      if (running === 3) together.resolve();
      await together.promise;
      running -= 1;
    });
    return bench.run(bench.image("one"), `job ${i}`);
  });
  await build(bench, targets, { options: { jobs: 3 } });
  expect(most).toBe(3);
});

test("a failed command tells its status, its last lines and where its log is", async () => {
  await using bench = new Workbench();
  bench.commands.set("bad", (tree) => {
    for (let i = 1; i <= 230; i += 1) tree.print(`line ${i}\n`);
    return 3;
  });
  const failing = build(bench, bench.run(bench.image("one"), "bad"));
  const error = (await failing.catch((failure: unknown) => failure)) as Error & {
    detail: string;
    hint: string;
    code: string;
  };
  expect(error.code).toBe("solver/exec-failed");
  expect(error.message).toBe('process "/bin/sh -c bad" did not complete successfully: exit code: 3');
  expect(error.detail.split("\n")).toHaveLength(200);
  expect(error.detail).toMatch(/^line 31\n[^]*line 230$/);
  const path = /the whole log is (.*)$/.exec(error.hint)?.[1] ?? "";
  expect(readFileSync(path, "utf8")).toContain("line 1\n");
  expect(bench.events.at(-1)).toMatchObject({ kind: "step-failed" });
});

test("a failure stops its siblings, and is the error told", async () => {
  await using bench = new Workbench();
  const started = Promise.withResolvers<void>();
  bench.commands.set("slow", (tree) => {
    started.resolve();
    return new Promise((_, reject) => tree.signal.addEventListener("abort", () => reject(tree.signal.reason)));
  });
  bench.commands.set("bad", async () => {
    await started.promise;
    return 1;
  });
  const targets = [bench.run(bench.image("one"), "slow"), bench.run(bench.image("one"), "bad")];
  await expect(build(bench, targets)).rejects.toThrow("exit code: 1");
  expect(bench.events.map((event) => event.kind).filter((kind) => /failed|cancelled/.test(kind))).toEqual([
    "step-failed",
    "step-cancelled",
  ]);
});

test("--expect-cached refuses the first step that would run, with the reason", async () => {
  await using bench = new Workbench();
  compiler(bench);
  bench.file("src/a.c", "one");
  const target = (): Vertex => bench.run(bench.copy(bench.image("one"), "src", "/src"), "make");
  await build(bench, target());
  await build(bench, target(), { options: { expectCached: "all" } });
  bench.file("src/a.c", "two");
  const refused = build(bench, target(), { options: { expectCached: "all" } });
  await expect(refused).rejects.toThrow("Cannot take a step from the cache: a.c (content): COPY src /src");
  expect(bench.ran).toEqual([]);
});

test("every layer that a step makes is told once it is recorded", async () => {
  await using bench = new Workbench();
  bench.commands.set("x", (tree) => tree.write("x", "x"));
  const committed: string[] = [];
  const onCommitted = (id: string): void => {
    expect(bench.store.snapshots.get(id as never)?.state).toBe("present");
    committed.push(id);
  };
  const result = await build(bench, bench.run(bench.image("one"), "x"), { options: { onCommitted } });
  expect(committed).toEqual(layersOf(result).slice(1));
});

test.each([
  { name: "the host's network", op: { network: "host" }, entitlement: "network.host" },
  { name: "no sandbox", op: { security: "insecure" }, entitlement: "security.insecure" },
] as const)(
  "a command that needs $name is refused unless it is allowed, cached or not",
  async ({ op, entitlement }) => {
    await using bench = new Workbench();
    bench.commands.set("extra", (tree) => tree.write("out", "1"));
    bench.commands.set("usual", (tree) => tree.write("more", "2"));
    // This step is below a cached one, so it is not looked up.
    const target = bench.run(bench.run(bench.image("one"), "extra", { op }), "usual");
    const refused = { code: "runtime/entitlement", message: `Cannot run this step: ${entitlement} is not allowed` };
    await expect(build(bench, target)).rejects.toMatchObject(refused);
    expect(bench.ran).toEqual([]);
    const { exec } = bench.options();
    const allowed = { options: { exec: { ...exec, entitlements: new Set([entitlement]) } } };
    await build(bench, target, allowed);
    expect(bench.ran).toEqual(["extra", "usual"]);
    await expect(build(bench, target)).rejects.toMatchObject(refused);
    await build(bench, target, allowed);
    expect(bench.ran).toEqual([]);
    // A stage that the target does not need may ask for anything.
    bench.commands.set("other", (tree) => tree.write("other", "3"));
    await build(bench, bench.run(bench.image("one"), "other"));
  },
);

test("all commands that are not allowed are told at once", async () => {
  await using bench = new Workbench();
  const both = bench.run(bench.image("one"), "extra", { op: { network: "host", security: "insecure" } });
  await expect(build(bench, bench.run(both, "again", { op: { network: "host" } }))).rejects.toMatchObject({
    message: "Cannot run this step: network.host is not allowed",
    more: [
      { message: "Cannot run this step: security.insecure is not allowed" },
      { message: "Cannot run this step: network.host is not allowed" },
    ],
  });
});

test("a disk that is full when a command has ended is told in words", async () => {
  await using bench = new Workbench();
  bench.commands.set("fill", () => {
    throw Object.assign(new Error("ENOSPC: no space left on device, mkdir '/x'"), { code: "ENOSPC" });
  });
  await expect(build(bench, bench.run(bench.image("one"), "fill"))).rejects.toMatchObject({
    code: "store/full",
    message: expect.stringMatching(/^Cannot run "RUN fill": no space left/),
  });
});
