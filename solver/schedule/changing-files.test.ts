import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ExecMount } from "../graph/op.ts";
import type { Vertex } from "../graph/vertex.ts";
import type { FileStatus } from "../../lib/native/native.ts";
import { solve } from "../solve.ts";
import { LocalSource } from "../sources/local/local-source.ts";
import { Workbench } from "../testing/workbench.ts";

const { signal } = new AbortController();
const LARGE = 300_000;

/** Builds, and returns the content of the target's last layer at a path, or that it stayed in its blob. */
async function build(bench: Workbench, target: Vertex, path: string): Promise<string> {
  bench.events = [];
  bench.ran.length = 0;
  using deps = bench.deps();
  const result = await solve(bench.graph(target), deps, bench.options(), signal);
  const [, ...layers] = result.targets[0]?.layers ?? [];
  for (const { snapshot } of layers.toReversed()) {
    try {
      return readFileSync(join(bench.snapshotter.pathOf(snapshot), path), "utf8");
    } catch {
      continue;
    }
  }
  return "nothing";
}

const bind = (source: string): ExecMount => ({ type: "bind", target: "/m", input: 1, source, mode: "ro" });

/** A file that is too large to stay in memory between its key and its copy. */
const large = (letter: string): string => letter.repeat(LARGE);

/** The ways in which a file of the context gets into a step; each leaves it, or its first letter, at `/seen`. */
const WAYS = [
  { name: "a copied file", step: (b: Workbench, base: Vertex) => b.copy(base, "src/f", "/seen") },
  { name: "a copied directory", step: (b: Workbench, base: Vertex) => b.copy(base, "src", "/") },
  {
    name: "a mounted directory",
    step: (b: Workbench, base: Vertex) => b.run(base, "see", { mounts: [bind("src")], inputs: [b.local()] }),
  },
  {
    name: "a mounted file",
    step: (b: Workbench, base: Vertex) => b.run(base, "see", { mounts: [bind("src/f")], inputs: [b.local()] }),
  },
] as const;

function prepare(bench: Workbench): void {
  bench.commands.set("see", (tree) => {
    const [mount] = tree.request.mounts;
    if (mount?.kind !== "tree" || mount.tree.kind === "overlay-ro") throw new Error("no tree is mounted");
    const root = mount.tree.kind === "overlay" ? mount.tree.upper : mount.tree.path;
    const path = join(root, mount.source);
    let text: string;
    try {
      text = readFileSync(join(path, "f"), "utf8");
    } catch {
      text = readFileSync(path, "utf8");
    }
    tree.write("seen", text);
    tree.write("f", text);
  });
  bench.commands.set("after", (tree) => {
    tree.write("after", `after ${tree.read("seen")?.[0] ?? tree.read("f")?.[0]}`);
  });
}

describe.each(WAYS)("$name that changes while it is built", ({ step }) => {
  test.each([
    { name: "to the same length", text: large("B") },
    { name: "to more", text: large("B") + "more" },
    { name: "to less", text: "B" },
  ])("$name: its step stands under the key of what it holds, and so do those behind it", async ({ text }) => {
    await using bench = new Workbench();
    prepare(bench);
    bench.file("src/f", large("A"));
    let edit: (() => void) | undefined = () => bench.file("src/f", text);
    bench.commands.set("edit", () => edit?.());
    const target = bench.run(step(bench, bench.run(bench.image("one"), "edit")), "after");
    const asBuilt = await build(bench, target, "after");
    expect(asBuilt).toBe("after B");
    edit = undefined;
    expect(await build(bench, target, "after")).toBe("after B");
    expect(bench.ran).toEqual([]);
    bench.file("src/f", large("A"));
    expect(await build(bench, target, "after")).toBe("after A");
    expect(bench.ran.at(-1)).toBe("after");
    bench.file("src/f", text);
    expect(await build(bench, target, "after")).toBe("after B");
    expect(bench.ran).toEqual([]);
  });

  test("by being replaced with a link and another file, it is looked at again", async () => {
    await using bench = new Workbench();
    prepare(bench);
    bench.file("src/f", large("A"));
    bench.file("other", large("B"));
    let edit: (() => void) | undefined = () => {
      rmSync(join(bench.context, "src/f"));
      linkSync(join(bench.context, "other"), join(bench.context, "src/f"));
    };
    bench.commands.set("edit", () => edit?.());
    const target = bench.run(step(bench, bench.run(bench.image("one"), "edit")), "after");
    expect(await build(bench, target, "after")).toBe("after B");
    edit = undefined;
    expect(await build(bench, target, "after")).toBe("after B");
    expect(bench.ran).toEqual([]);
  });
});

test.each([
  { name: "goes", change: (path: string) => rmSync(path) },
  {
    name: "becomes a directory",
    change: (path: string) => {
      rmSync(path);
      mkdirSync(path);
    },
  },
  {
    name: "becomes a link",
    change: (path: string) => {
      rmSync(path);
      symlinkSync("other", path);
    },
  },
  { name: "gets another name", change: (path: string) => renameSync(path, `${path}2`) },
])("a file in a copied directory that $name is found as it is then", async ({ change }) => {
  await using bench = new Workbench();
  bench.file("src/f", large("A"));
  bench.file("src/other", "other");
  let isEdited = false;
  bench.commands.set("edit", () => {
    isEdited = true;
    change(join(bench.context, "src/f"));
  });
  const target = bench.copy(bench.run(bench.image("one"), "edit"), "src", "/app/");
  expect(await build(bench, target, "app/other")).toBe("other");
  expect(isEdited).toBe(true);
  expect(await build(bench, target, "app/other")).toBe("other");
  expect(bench.reasons()).toEqual([]);
});

test("a file that never rests is copied as it was at one time", async () => {
  await using bench = new Workbench();
  bench.file("src/log", large("A"));
  bench.commands.set("edit", () => undefined);
  // Every read of the clock comes with another line: each step begins with one.
  using deps = bench.deps();
  const clock = { nowMs: () => (appendFileSync(join(bench.context, "src/log"), "line\n"), 1_800_000_000_000) };
  const target = bench.copy(bench.image("one"), "src", "/app/");
  const result = await solve(bench.graph(target), { ...deps, clock }, bench.options(), signal);
  expect(result.outcomes.get(target.digest)?.how).toBe("ran");
});

test("many small files, all of them known, of which one changes before their layer is written", async () => {
  await using bench = new Workbench();
  for (let n = 0; n < 520; n += 1) bench.file(`src/f${n}`, `file ${n}\n`);
  let index: Uint8Array | undefined;
  let commands = 0;
  const buildWith = async (target: Vertex): Promise<readonly string[]> => {
    bench.events = [];
    using context = new LocalSource({
      native: bench.native,
      directory: bench.context,
      index: { load: () => index, save: (bytes) => void (index = bytes) },
      // Later, so that no file is too young to be known.
      nowNs: () => BigInt(Date.now() + 10_000) * 1_000_000n,
    });
    using deps = bench.deps({ locals: new Map([["context", context]]) });
    const result = await solve(bench.graph(target), deps, bench.options(), signal);
    context.save();
    return (result.targets[0]?.layers ?? []).map(({ snapshot }) => snapshot);
  };
  bench.commands.set("edit 1", () => void (commands += 1));
  bench.commands.set("edit 2", () => bench.file("src/f7", "FILE 7\n"));
  const copyAfter = (command: string, destination: string): Vertex =>
    bench.copy(bench.run(bench.image("one"), command), "src", destination);
  await buildWith(copyAfter("edit 1", "/elsewhere/"));
  expect(commands).toBe(1);
  const made = await buildWith(copyAfter("edit 2", "/app/"));
  const top = made.at(-1);
  expect(top === undefined ? "" : readFileSync(join(bench.directory, "store/snapshots", top, "app/f7"), "utf8")).toBe(
    "FILE 7\n",
  );
  expect(await buildWith(copyAfter("edit 2", "/app/"))).toEqual(made);
  expect(bench.reasons()).toEqual([]);
});

test("a change that no time shows is missed once, and found by a build without the cache", async () => {
  await using bench = new Workbench();
  bench.file("src/f", large("A"));
  let index: Uint8Array | undefined;
  let prints: Uint8Array | undefined;
  const buildWith = async (cache: "use" | "skip"): Promise<string> => {
    using context = new LocalSource({
      native: bench.native,
      directory: bench.context,
      index: { load: () => index, save: (bytes) => void (index = bytes) },
      fingerprints: { load: () => prints, save: (bytes) => void (prints = bytes) },
      nowNs: () => 4_000_000_000_000_000_000n,
    });
    using deps = bench.deps({ locals: new Map([["context", context]]) });
    const target = bench.copy(bench.image("one"), "src", "/app/", { cache });
    const result = await solve(bench.graph(target), deps, bench.options(), signal);
    context.save();
    const layer = result.targets[0]?.layers.at(-1)?.snapshot ?? "";
    return readFileSync(join(bench.directory, "store/snapshots", layer, "app/f"), "utf8").slice(0, 1);
  };
  expect(await buildWith("use")).toBe("A");
  const stamp = bench.native.statat(-100, join(bench.context, "src/f"));
  writeFileSync(join(bench.context, "src/f"), large("B"));
  // Simulates a write through a memory map: the index gets the new times with the old digest.
  index = restamped(index, stamp, bench.native.statat(-100, join(bench.context, "src/f")));
  prints = undefined;
  expect(await buildWith("use")).toBe("A");
  expect(await buildWith("skip")).toBe("B");
  expect(await buildWith("use")).toBe("B");
});

/** Copies an index and replaces a file's times. */
function restamped(index: Uint8Array | undefined, from: FileStatus, now: FileStatus): Uint8Array {
  const bytes = Buffer.from(index ?? []);
  for (const name of ["mtimeNs", "ctimeNs"] as const) {
    const old = Buffer.alloc(8);
    old.writeBigInt64LE(from[name]);
    const at = bytes.indexOf(old);
    if (at === -1) throw new Error(`The index does not have the ${name}`);
    bytes.writeBigInt64LE(now[name], name === "ctimeNs" ? bytes.lastIndexOf(old) : at);
  }
  return bytes;
}
