import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { locateNative } from "../native/locate.ts";
import { openStore } from "./open-store.ts";

const native = locateNative();
let home = "";
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "kiln-layout-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const open = (root: string): ReturnType<typeof openStore> => openStore(root, { native, clock: { nowMs: () => 1 } });

test.each(["blobs/sha256", "snapshots", "cache-mounts", "logs", "leases", "running"])(
  "a store without %s makes it anew, and one with a file in its place says so",
  async (name) => {
    const root = join(home, name.replace("/", "-"));
    await open(root)[Symbol.asyncDispose]();
    await rm(join(root, name), { recursive: true });
    await open(root)[Symbol.asyncDispose]();
    expect(statSync(join(root, name)).isDirectory()).toBe(true);
    await rm(join(root, name), { recursive: true });
    await writeFile(join(root, name), "");
    expect(() => open(root)).toThrow(
      expect.objectContaining({ code: "store/unusable", message: expect.stringContaining(`${name} is no directory`) }),
    );
  },
);

test("a database that is not ours is damaged, not a bug", async () => {
  const root = join(home, "database");
  const store = open(root);
  store.database.run("DROP TABLE refs");
  expect(() => store.refs.list()).toThrow(expect.objectContaining({ code: "store/corrupt" }));
  await store[Symbol.asyncDispose]();
});
