import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { locateNative } from "../../lib/native/locate.ts";
import { listing, SKIP_UNLESS_ROOT } from "../ops/file/testing.ts";
import { copyingSnapshotter } from "./copying.ts";
import { snapshotterContract } from "./snapshot.contract.ts";

snapshotterContract("copying", copyingSnapshotter, "trusted");

test("nothing is copied where overlayfs turns out to work", async () => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-native-"));
  try {
    let count = 0;
    const snapshots = copyingSnapshotter({
      directory,
      marks: "trusted",
      newId: () => `n${(count += 1)}`,
      native: locateNative(),
      isNeeded: async () => false,
    });
    const { signal } = new AbortController();
    await using first = await snapshots.prepare([], signal);
    const below = await first.commit(signal);
    await using second = await snapshots.prepare([below], signal);
    expect(await second.mount(signal)).toMatchObject({ kind: "overlay" });
    await using view = await snapshots.view([below], signal);
    expect(await view.mount(signal)).toMatchObject({ kind: "overlay-ro" });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test.skipIf(SKIP_UNLESS_ROOT !== false).each([
  { name: "a new file", does: "echo new > d/new", makes: ["d d 700 3:4", "f d/new 644 0:0 =new\n"] },
  { name: "a changed file", does: "echo more >> d/a", makes: ["d d 700 3:4", "f d/a 644 0:0 =a\nmore\n"] },
  {
    name: "a file rewritten with its old size and time",
    does: "echo b > d/a && touch -d @1 d/a",
    makes: ["d d 700 3:4", "f d/a 644 0:0 =b\n"],
  },
  { name: "a file's mode", does: "chmod 600 d/a", makes: ["d d 700 3:4", "f d/a 600 0:0 =a\n"] },
  { name: "a directory's mode", does: "chmod 755 d", makes: ["d d 755 3:4"] },
  { name: "a removed file", does: "rm d/a", makes: ["d d 700 3:4", "w d/a"] },
  { name: "a removed directory", does: "rm -r d", makes: ["w d"] },
  {
    name: "a directory made again",
    does: "rm -r d && mkdir d && echo x > d/x",
    makes: ["o d 755 0:0", "f d/x 644 0:0 =x\n"],
  },
  { name: "a directory made a file", does: "rm -r d && echo f > d", makes: ["f d 644 0:0 =f\n"] },
  { name: "a file made a directory", does: "rm d/a && mkdir d/a", makes: ["d d 700 3:4", "o d/a 755 0:0"] },
  { name: "a renamed file", does: "mv d/a d/b", makes: ["d d 700 3:4", "w d/a", "f d/b 644 0:0 =a\n"] },
  { name: "nothing", does: "true", makes: [] },
])("a commit holds $name as an overlay would", async ({ does, makes }) => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-native-"));
  try {
    let count = 0;
    const native = locateNative();
    const snapshots = copyingSnapshotter({ directory, marks: "trusted", newId: () => `n${(count += 1)}`, native });
    const { signal } = new AbortController();
    const sh = (path: string, script: string): void => {
      expect(spawnSync("sh", ["-ec", `umask 022; ${script}`], { cwd: path }).status).toBe(0);
    };
    await using first = await snapshots.prepare([], signal);
    sh(first.directories[0] ?? "", "mkdir d && echo a > d/a && ln -s a d/l && chmod 700 d && chown 3:4 d");
    const below = await first.commit(signal);
    await using second = await snapshots.prepare([below], signal);
    const mount = await second.mount(signal);
    sh(mount.kind === "directory" ? mount.path : "not a copy", does);
    const id = await second.commit(signal);
    expect(listing(native, snapshots.pathOf(id))).toEqual(makes);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test.skipIf(SKIP_UNLESS_ROOT !== false)("a device that would be taken for a whiteout is refused", async () => {
  const directory = mkdtempSync(join(tmpdir(), "kiln-native-"));
  try {
    let count = 0;
    const native = locateNative();
    const snapshots = copyingSnapshotter({ directory, marks: "trusted", newId: () => `n${(count += 1)}`, native });
    const { signal } = new AbortController();
    await using first = await snapshots.prepare([], signal);
    const below = await first.commit(signal);
    await using second = await snapshots.prepare([below], signal);
    const mount = await second.mount(signal);
    spawnSync("mknod", ["f", "c", "0", "0"], { cwd: mount.kind === "directory" ? mount.path : "not a copy" });
    await expect(second.commit(signal)).rejects.toMatchObject({ code: "image/reserved" });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
