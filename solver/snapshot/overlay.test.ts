import { snapshotId } from "../../lib/store/snapshot-id.ts";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { locateNative } from "../../lib/native/locate.ts";
import { overlaySnapshotter } from "./overlay.ts";
import { snapshotterContract } from "./snapshot.contract.ts";

snapshotterContract("overlay", overlaySnapshotter, "trusted");

test("an active snapshot on layers asks for an overlay, topmost lower first", async () => {
  const directory = await mkdtemp(join(tmpdir(), "kiln-snapshot-"));
  try {
    let count = 0;
    const newId = (): string => `s${(count += 1)}`;
    const snapshots = overlaySnapshotter({ directory, marks: "trusted", newId, native: locateNative() });
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

test.skipIf(process.getuid?.() !== 0)("a store in a setgid directory gives its group to no file", async () => {
  const home = mkdtempSync(join(tmpdir(), "kiln-overlay-"));
  try {
    chownSync(home, 0, 33);
    chmodSync(home, 0o2775);
    let count = 0;
    const snapshots = overlaySnapshotter({
      directory: join(home, "snapshots"),
      marks: "trusted",
      newId: () => `a${(count += 1)}`,
      native: locateNative(),
    });
    const { signal } = new AbortController();
    await using active = await snapshots.prepare([], signal);
    await using received = await snapshots.receive(snapshotId("layer-1"), signal);
    for (const directory of [active.writable, received.directory]) {
      mkdirSync(join(directory, "d"));
      for (const path of [directory, join(directory, "d")]) {
        const { mode, gid } = statSync(path);
        expect([mode & 0o7777, gid]).toEqual([0o755, 0]);
      }
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
