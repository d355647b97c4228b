import { snapshotId } from "../../lib/store/snapshot-id.ts";
import { mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { locateNative } from "../../lib/native/locate.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { Snapshotter } from "../ports.ts";
import type { SnapshotterOptions } from "./overlay.ts";

/** Tests the common behaviour of all snapshotters. */
export function snapshotterContract(
  name: string,
  make: (options: SnapshotterOptions) => Snapshotter,
  marks: "trusted" | "user",
): void {
  describe(`${name} snapshotter`, () => {
    const signal = new AbortController().signal;
    let directory: string;
    let snapshots: Snapshotter;
    let count = 0;

    beforeEach(async () => {
      directory = join(await mkdtemp(join(tmpdir(), "kiln-snapshot-")), "snapshots");
      snapshots = make({ directory, marks, newId: () => `t${(count += 1)}`, native: locateNative() });
    });
    afterEach(() => rm(join(directory, ".."), { recursive: true, force: true }));

    const layer = async (below: readonly SnapshotId[], files: Record<string, string>): Promise<SnapshotId> => {
      await using active = await snapshots.prepare(below, signal);
      for (const [path, text] of Object.entries(files)) {
        await mkdir(join(top(active.directories), path, ".."), { recursive: true });
        await writeFile(join(top(active.directories), path), text);
      }
      return await active.commit(signal);
    };

    test("what was written is in the committed snapshot", async () => {
      const id = await layer([], { "etc/motd": "hello" });
      expect(await readFile(join(snapshots.pathOf(id), "etc/motd"), "utf8")).toBe("hello");
      expect(id).toMatch(/^[A-Za-z0-9-]+$/);
    });

    test("a snapshot holds only its own difference", async () => {
      const first = await layer([], { a: "1" });
      const second = await layer([first], { b: "2" });
      expect((await readdir(snapshots.pathOf(second))).toSorted()).toEqual(["b"]);
      expect((await readdir(snapshots.pathOf(first))).toSorted()).toEqual(["a"]);
    });

    test("disposing without a commit leaves nothing", async () => {
      const before = await layer([], { a: "1" });
      {
        await using active = await snapshots.prepare([before], signal);
        await writeFile(join(top(active.directories), "b"), "2");
      }
      expect((await readdir(directory)).filter((entry) => entry.startsWith("active-"))).toEqual([]);
      expect(await readdir(directory)).toContain(before);
    });

    test("committing leaves no working files", async () => {
      await layer([await layer([], { a: "1" })], { b: "2" });
      expect((await readdir(directory)).filter((entry) => /^(active|removed)-/.test(entry))).toEqual([]);
    });

    test("the root's mode carries over from the layer below", async () => {
      const { chmod } = await import("node:fs/promises");
      await using first = await snapshots.prepare([], signal);
      await chmod(top(first.directories), 0o1777);
      const id = await first.commit(signal);
      await using second = await snapshots.prepare([id], signal);
      expect((await stat(top(second.directories))).mode & 0o7777).toBe(0o1777);
    });

    test("an aborted signal stops prepare and commit", async () => {
      const aborted = AbortSignal.abort(new Error("stopped"));
      await expect(snapshots.prepare([], aborted)).rejects.toThrow("stopped");
      await using active = await snapshots.prepare([], signal);
      await expect(active.commit(aborted)).rejects.toThrow("stopped");
    });

    test("a missing snapshot is named", async () => {
      await expect(snapshots.prepare([snapshotId("gone")], signal)).rejects.toThrow(/gone: its directory is gone/);
    });

    test("a view shows every layer, topmost first, and its mount needs no more", async () => {
      const first = await layer([], { a: "1" });
      const second = await layer([first], { b: "2" });
      await using view = await snapshots.view([first, second], signal);
      const found = new Set<string>();
      for (const path of view.directories) for (const entry of await readdir(path)) found.add(entry);
      expect([...found].toSorted()).toEqual(["a", "b"]);
    });

    test("a view of the empty tree is an empty directory", async () => {
      await using view = await snapshots.view([], signal);
      expect(await readdir(top(view.directories))).toEqual([]);
      expect((await view.mount(signal)).kind).toBe("directory");
    });

    test("a received layer appears at its name on commit, and a second one of that name is dropped", async () => {
      const id = snapshotId("layer-abc");
      await using one = await snapshots.receive(id, signal);
      await using two = await snapshots.receive(id, signal);
      await writeFile(join(one.directory, "f"), "one");
      await writeFile(join(two.directory, "f"), "two");
      await one.commit();
      await two.commit();
      expect(await readFile(join(snapshots.pathOf(id), "f"), "utf8")).toBe("one");
      expect((await readdir(directory)).filter((entry) => /^(active|removed)-/.test(entry))).toEqual([]);
    });

    test("a layer that is not committed is thrown away", async () => {
      {
        await using incoming = await snapshots.receive(snapshotId("layer-x"), signal);
        await writeFile(join(incoming.directory, "f"), "x");
      }
      await expect(stat(snapshots.pathOf(snapshotId("layer-x")))).rejects.toThrow("ENOENT");
    });

    test("removing deletes the tree and nothing a symlink in it points at", async () => {
      const outside = join(directory, "..", "outside");
      await mkdir(outside);
      await writeFile(join(outside, "keep"), "me");
      await using active = await snapshots.prepare([], signal);
      await symlink(outside, join(top(active.directories), "link"));
      const id = await active.commit(signal);
      await snapshots.remove(id);
      await snapshots.remove(id);
      expect(await readdir(outside)).toEqual(["keep"]);
      await expect(stat(snapshots.pathOf(id))).rejects.toThrow("ENOENT");
    });

    test("removing copes with names that are not UTF-8", async () => {
      await using active = await snapshots.prepare([], signal);
      const odd = Buffer.concat([Buffer.from(`${top(active.directories)}/`), Buffer.from([0xff, 0xfe])]);
      await mkdir(odd);
      await writeFile(Buffer.concat([odd, Buffer.from([0x2f, 0x80])]), "x");
      const id = await active.commit(signal);
      expect(await snapshots.usage(id, signal)).toBeGreaterThan(0);
      await snapshots.remove(id);
      await expect(stat(snapshots.pathOf(id))).rejects.toThrow("ENOENT");
    });

    test("usage is what the disk holds, a hard link counted once", async () => {
      const { link } = await import("node:fs/promises");
      await using active = await snapshots.prepare([], signal);
      const root = top(active.directories);
      await writeFile(join(root, "big"), Buffer.alloc(1 << 20, 1));
      await link(join(root, "big"), join(root, "same"));
      const id = await active.commit(signal);
      const bytes = await snapshots.usage(id, signal);
      expect(bytes).toBeGreaterThanOrEqual(1 << 20);
      expect(bytes).toBeLessThan(1.5 * (1 << 20));
    });
  });
}

function top(directories: readonly string[]): string {
  return directories[0] ?? "none";
}
