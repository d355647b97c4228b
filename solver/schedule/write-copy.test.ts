import { snapshotId } from "../../lib/store/snapshot-id.ts";
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { digestOf } from "../../lib/core/digest.ts";
import type { SnapshotRow } from "../../lib/store/model.ts";
import { measureLayer } from "../../lib/tar/measure.ts";
import type { SolverDeps } from "../deps.ts";
import type { Vertex } from "../graph/vertex.ts";
import { materializeLayers } from "../sources/image/materialize.ts";
import { solve } from "../solve.ts";
import { Workbench } from "../testing/workbench.ts";

const { signal } = new AbortController();
const FILES = 520;

const needsRoot = process.getuid?.() === 0 ? undefined : "unpacking with owners needs root";

function fill(bench: Workbench): void {
  for (let n = 0; n < FILES; n += 1) bench.file(`src/d${n % 3}/f${n}`, `file ${n}\n`);
}

const copied = (bench: Workbench): Vertex => bench.copy(bench.image("one"), "src", "/app/");

/** Builds with layers that are unpacked from their blobs, as in a real build. */
async function build(bench: Workbench, target: Vertex): Promise<readonly SnapshotRow[]> {
  using deps = bench.deps();
  const registry = async (): Promise<never> => Promise.reject(new Error("Nothing is fetched in this test"));
  const images: SolverDeps["images"] = {
    ...deps.images,
    materialize: (stack, step, inner) =>
      materializeLayers(stack, step, { ...deps, registry, objects: registry, clusters: registry }, inner),
  };
  const result = await solve(bench.graph(target), { ...deps, images }, bench.options(), signal);
  return bench.store.snapshots.getMany(result.targets[0]?.layers.map(({ snapshot }) => snapshot) ?? []);
}

const top = (rows: readonly SnapshotRow[]): SnapshotRow => {
  const row = rows.at(-1);
  if (row === undefined) throw new Error("no layers");
  return row;
};

test.skipIf(needsRoot)(
  `a copy that nothing reads is a blob, unpacked when a step reads its files (${needsRoot ?? "root"})`,
  async () => {
    await using bench = new Workbench();
    fill(bench);
    const made = top(await build(bench, copied(bench)));
    const { diffId = digestOf(""), contentDigest, tarSizeBytes } = made;
    expect(made).toMatchObject({ id: `built-${diffId.slice(7)}`, state: "absent" });
    expect(existsSync(bench.snapshotter.pathOf(made.id))).toBe(false);
    const bytes = readFileSync(bench.store.blobs.pathOf(diffId));
    expect([digestOf(bytes), bytes.length]).toEqual([diffId, tarSizeBytes]);

    bench.commands.set("look", (tree) => tree.write("seen", tree.read("app/d1/f1") ?? "nothing"));
    const rows = await build(bench, bench.run(copied(bench), "look"));
    expect(bench.reasons().filter((reason) => reason.startsWith("COPY"))).toHaveLength(1);
    expect(rows.at(-2)).toMatchObject({ id: made.id, state: "present" });
    const seen = join(bench.snapshotter.pathOf(top(rows).id), "seen");
    expect(readFileSync(seen, "utf8")).toBe("file 1\n");
    const directory = bench.snapshotter.pathOf(made.id);
    expect(await measureLayer(bench.native, { directory, marks: "trusted" }, signal)).toMatchObject({
      diffId,
      contentDigest,
    });
  },
);

test("a copy that a step of the same build reads is made into files at once", async () => {
  await using bench = new Workbench();
  fill(bench);
  bench.commands.set("look", (tree) => tree.write("seen", tree.read("app/d1/f1") ?? "nothing"));
  const [, made] = await build(bench, bench.run(bench.merge(copied(bench)), "look"));
  expect(made?.state).toBe("present");
  expect(made === undefined ? "" : readFileSync(join(bench.snapshotter.pathOf(made.id), "app/d0/f0"), "utf8")).toBe(
    "file 0\n",
  );
});

test("a copy needed as files is made into files", async () => {
  await using bench = new Workbench();
  fill(bench);
  using deps = bench.deps();
  const options = bench.options({ resultIsRead: true });
  const { targets } = await solve(bench.graph(bench.merge(bench.image("one"), copied(bench))), deps, options, signal);
  const snapshot = targets[0]?.layers.at(-1)?.snapshot ?? snapshotId("none");
  expect(existsSync(join(bench.snapshotter.pathOf(snapshot), "app/d0/f0"))).toBe(true);
});

test("of two copies the one that the other goes on is made into files", async () => {
  await using bench = new Workbench();
  fill(bench);
  const rows = await build(bench, bench.copy(copied(bench), "src/", "/more/"));
  expect(rows.slice(1).map(({ state }) => state)).toEqual(["present", "absent"]);
});

test("after a change the layer is the one that a new store would have, and the old one stays", async () => {
  await using bench = new Workbench();
  fill(bench);
  const first = top(await build(bench, copied(bench)));
  appendFileSync(join(bench.context, "src/d1/f1"), "more");
  writeFileSync(join(bench.context, "src/d2/f2"), "FILE 2\n");
  rmSync(join(bench.context, "src/d0/f0"));
  const second = top(await build(bench, copied(bench)));
  await using other = new Workbench();
  rmSync(other.context, { recursive: true });
  symlinkSync(bench.context, other.context);
  const fresh = top(await build(other, copied(other)));
  expect(second).toMatchObject({ diffId: fresh.diffId, contentDigest: fresh.contentDigest, id: fresh.id });
  expect(second.id).not.toBe(first.id);
  expect(digestOf(readFileSync(bench.store.blobs.pathOf(first.diffId ?? digestOf(""))))).toBe(first.diffId);
});

test("an aborted copy leaves no blob", async () => {
  await using bench = new Workbench();
  fill(bench);
  const stop = new AbortController();
  using deps = bench.deps({
    progress: (event) => void (event.kind === "step-started" && stop.abort(new Error("stop"))),
  });
  await expect(solve(bench.graph(copied(bench)), deps, bench.options(), stop.signal)).rejects.toThrow("stop");
  expect(readdirSync(bench.store.layout.blobs).filter((name) => name.startsWith("new-"))).toEqual([]);
});

test("a file that changes while it is copied is in the layer as it was when it was named", async () => {
  await using bench = new Workbench();
  fill(bench);
  using deps = bench.deps({
    progress: (event) =>
      void (event.kind === "step-started" && writeFileSync(join(bench.context, "src/d1/f1"), "FILE 1\n")),
  });
  const { targets } = await solve(bench.graph(copied(bench)), deps, bench.options(), signal);
  const [row] = bench.store.snapshots.getMany([targets[0]?.layers.at(-1)?.snapshot ?? snapshotId("none")]);
  bench.file("src/d1/f1", "file 1\n");
  await using other = new Workbench();
  rmSync(other.context, { recursive: true });
  symlinkSync(bench.context, other.context);
  expect(row?.contentDigest).toBe(top(await build(other, copied(other))).contentDigest);
});
