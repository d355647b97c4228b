import { snapshotId } from "../../../lib/store/snapshot-id.ts";
import { chmodSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, unlinkSync } from "node:fs";
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type LayerMeasure, measureLayer } from "../../../lib/tar/measure.ts";
import type { Vertex } from "../../graph/vertex.ts";
import { solve } from "../../solve.ts";
import { Workbench } from "../../testing/workbench.ts";

const signal = new AbortController().signal;
const FILES = 100;

/** Builds `target` and returns the directory of its last layer. */
async function layer(bench: Workbench, target: Vertex): Promise<string> {
  using deps = bench.deps();
  const result = await solve(bench.graph(target), deps, bench.options(), signal);
  return bench.snapshotter.pathOf(result.targets[0]?.layers.at(-1)?.snapshot ?? snapshotId("none"));
}

function measure(bench: Workbench, directory: string): Promise<LayerMeasure> {
  return measureLayer(bench.native, { directory, marks: "trusted" }, signal);
}

function fill(bench: Workbench): void {
  for (let n = 0; n < FILES; n += 1) {
    bench.file(`src/d${n % 3}/f${n}`, `file ${n}`);
    utimesSync(join(bench.context, `src/d${n % 3}/f${n}`), 1000, 1000 + n);
  }
}

/** Measures the layer from a build with an empty store and the same files. */
async function fresh(bench: Workbench, make: (other: Workbench) => Vertex): Promise<LayerMeasure> {
  await using other = new Workbench();
  rmSync(other.context, { recursive: true });
  symlinkSync(bench.context, other.context);
  return await measure(other, await layer(other, make(other)));
}

const inode = (path: string): number => statSync(path).ino;
const copy = (bench: Workbench): Vertex => bench.copy(bench.image("one"), "src", "/app/");

test("a copy of which one file changed shares the others with the earlier one, and is what a fresh one would be", async () => {
  await using bench = new Workbench();
  fill(bench);
  const first = await layer(bench, copy(bench));
  const before = await measure(bench, first);
  bench.file("src/d1/f1", "changed");
  const second = await layer(bench, copy(bench));
  expect(second).not.toBe(first);
  expect(inode(join(second, "app/d0/f0"))).toBe(inode(join(first, "app/d0/f0")));
  expect(inode(join(second, "app/d1/f1"))).not.toBe(inode(join(first, "app/d1/f1")));
  expect(readFileSync(join(second, "app/d1/f1"), "utf8")).toBe("changed");
  expect(readFileSync(join(first, "app/d1/f1"), "utf8")).toBe("file 1");
  expect(await measure(bench, second)).toEqual(await fresh(bench, copy));
  expect(await measure(bench, first)).toEqual(before);
});

test.each<{ name: string; change: (path: string) => void; entry: string; own: boolean }>([
  { name: "touched", change: (path) => utimesSync(path, 5, 5), entry: "app/d0/f0", own: true },
  { name: "of another mode", change: (path) => chmodSync(path, 0o755), entry: "app/d0/f0", own: true },
  {
    name: "of another content, with its old time and size",
    change(path) {
      writeFileSync(path, "FILE 0");
      utimesSync(path, 1000, 1000);
    },
    entry: "app/d0/f0",
    own: true,
  },
  { name: "left alone", change: () => {}, entry: "app/d0/f0", own: false },
])("a file $name is copied anew: $own", async ({ change, entry, own }) => {
  await using bench = new Workbench();
  fill(bench);
  const first = await layer(bench, copy(bench));
  change(join(bench.context, "src/d0/f0"));
  bench.file("src/more", "more");
  const second = await layer(bench, copy(bench));
  expect(inode(join(second, entry)) !== inode(join(first, entry))).toBe(own);
  expect(await measure(bench, second)).toEqual(await fresh(bench, copy));
});

test("files that are gone stay gone, and a directory in the place of a file is one", async () => {
  await using bench = new Workbench();
  fill(bench);
  await layer(bench, copy(bench));
  unlinkSync(join(bench.context, "src/d0/f0"));
  unlinkSync(join(bench.context, "src/d0/f3"));
  bench.file("src/d0/f3/below", "below");
  const second = await layer(bench, copy(bench));
  expect(await measure(bench, second)).toEqual(await fresh(bench, copy));
});

test("files that were one file, and are two now, are two in the layer", async () => {
  await using bench = new Workbench();
  fill(bench);
  linkSync(join(bench.context, "src/d0/f0"), join(bench.context, "src/d0/twin"));
  await layer(bench, copy(bench));
  unlinkSync(join(bench.context, "src/d0/twin"));
  bench.file("src/d0/twin", "file 0");
  utimesSync(join(bench.context, "src/d0/twin"), 1000, 1000);
  bench.file("src/more", "more");
  const second = await layer(bench, copy(bench));
  expect(inode(join(second, "app/d0/f0"))).not.toBe(inode(join(second, "app/d0/twin")));
  expect(await measure(bench, second)).toEqual(await fresh(bench, copy));
});

test("a copy onto another base shares files when it goes to the same place only", async () => {
  await using bench = new Workbench();
  fill(bench);
  const on = (base: string) => (at: Workbench) => {
    const image = at.image(base);
    const root = at.snapshotter.pathOf(
      snapshotId(`layer-${image.op.kind === "image" ? image.op.manifest.slice(7) : ""}`),
    );
    if (base === "leads elsewhere") {
      mkdirSync(join(root, "srv"), { recursive: true });
      rmSync(join(root, "app"), { force: true });
      symlinkSync("srv", join(root, "app"));
    }
    return bench.copy(image, "src", "/app/");
  };
  const first = await layer(bench, on("one")(bench));
  bench.file("src/more", "more");
  const same = await layer(bench, on("two")(bench));
  expect(inode(join(same, "app/d0/f0"))).toBe(inode(join(first, "app/d0/f0")));
  bench.file("src/more", "still more");
  const elsewhere = await layer(bench, on("leads elsewhere")(bench));
  expect(inode(join(elsewhere, "srv/d0/f0"))).not.toBe(inode(join(first, "app/d0/f0")));
  expect(await measure(bench, elsewhere)).toEqual(await fresh(bench, on("leads elsewhere")));
});

test("an earlier layer without its files costs only the time to copy", async () => {
  await using bench = new Workbench();
  fill(bench);
  const first = await layer(bench, copy(bench));
  rmSync(join(first, "app/d0"), { recursive: true });
  bench.file("src/more", "more");
  const second = await layer(bench, copy(bench));
  expect(await measure(bench, second)).toEqual(await fresh(bench, copy));
  rmSync(second, { recursive: true });
  bench.file("src/more", "more and more");
  const third = await layer(bench, copy(bench));
  expect(await measure(bench, third)).toEqual(await fresh(bench, copy));
});

test("files with attributes are not shared: their attributes would be shared too", async () => {
  await using bench = new Workbench();
  fill(bench);
  const first = await layer(bench, copy(bench));
  bench.native.setXattr(-100, join(first, "app/d0/f3"), "user.mine", Buffer.from("old"));
  bench.native.setXattr(-100, join(bench.context, "src/d0/f0"), "user.note", Buffer.from("new"));
  bench.file("src/more", "more");
  const second = await layer(bench, copy(bench));
  for (const name of ["f0", "f3"]) {
    expect(inode(join(second, "app/d0", name))).not.toBe(inode(join(first, "app/d0", name)));
  }
  expect(bench.native.listXattrs(-100, join(second, "app/d0/f3"))).toEqual([]);
});
