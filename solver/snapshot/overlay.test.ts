import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { locateNative } from "../../src/native/locate.ts";
import { overlaySnapshotter } from "./overlay.ts";
import { snapshotterContract } from "./snapshot.contract.ts";

snapshotterContract("overlay", overlaySnapshotter, "trusted");
snapshotterContract("overlay with the addon", (o) => overlaySnapshotter({ ...o, native: locateNative() }), "trusted");

test("an active snapshot on layers asks for an overlay, topmost lower first", async () => {
  const directory = await mkdtemp(join(tmpdir(), "kiln-snapshot-"));
  try {
    let count = 0;
    const snapshots = overlaySnapshotter({ directory, marks: "trusted", newId: () => `s${(count += 1)}` });
    const { signal } = new AbortController();
    await using first = await snapshots.prepare([], signal);
    expect(await first.mount(signal)).toEqual({
      kind: "directory",
      path: join(directory, "active-s1/upper"),
      mode: "rw",
    });
    const low = await first.commit(signal);
    await using second = await snapshots.prepare([low], signal);
    const high = await second.commit(signal);
    await using third = await snapshots.prepare([low, high], signal);
    expect(await third.mount(signal)).toEqual({
      kind: "overlay",
      upper: join(directory, "active-s5/upper"),
      work: join(directory, "active-s5/work"),
      lowers: [join(directory, high), join(directory, low)],
    });
    await using view = await snapshots.view([low], signal);
    expect(await view.mount(signal)).toEqual({
      kind: "overlay-ro",
      lowers: [join(directory, low), join(directory, "empty")],
    });
    expect(await readdir(join(directory, "empty"))).toEqual([]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
