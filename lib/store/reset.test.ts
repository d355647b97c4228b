import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { locateNative } from "../native/locate.ts";
import { openStore } from "./open-store.ts";
import { resetStore } from "./reset.ts";

const native = locateNative();
let folder: string;
let root: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "kiln-reset-"));
  root = join(folder, "store");
  await using store = openStore(root, { native, clock: { nowMs: () => 1_700_000_000_000 } });
  store.holds.register();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const reset = (mountInfo = ""): Promise<readonly string[] | undefined> => resetStore({ native, root, mountInfo });

test("a store goes with its directory, and a second time there is none", async () => {
  mkdirSync(join(root, "snapshots/a/b"), { recursive: true });
  spawnSync("chmod", ["0", join(root, "snapshots/a")]);
  expect(await reset()).toEqual([]);
  expect(existsSync(root)).toBe(false);
  expect(await reset()).toBeUndefined();
});

test("what is not kiln's stays, and links are not followed", async () => {
  const outside = join(folder, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "precious"), "");
  writeFileSync(join(root, "mine"), "");
  rmSync(join(root, "logs"), { recursive: true });
  symlinkSync(outside, join(root, "logs"));
  symlinkSync(outside, join(root, "snapshots/link"));
  expect(await reset()).toEqual(["mine"]);
  expect(readdirSync(root)).toEqual(["mine"]);
  expect(readdirSync(outside)).toEqual(["precious"]);
});

test("a directory that is no store is left alone", async () => {
  rmSync(join(root, "kiln.db"));
  await expect(reset()).rejects.toMatchObject({
    code: "store/unusable",
    message: expect.stringMatching(/no store of kiln's/),
  });
  expect(readdirSync(root)).toContain("blobs");
});

test("nothing goes while a process uses the store", async () => {
  {
    await using store = openStore(root, { native, clock: { nowMs: () => 1_700_000_000_000 } });
    store.holds.register();
    await expect(reset()).rejects.toMatchObject({
      code: "store/locked",
      message: expect.stringMatching(/1 running kiln uses it/),
    });
    expect(existsSync(join(root, "kiln.db"))).toBe(true);
  }
  expect(await reset()).toEqual([]);
});

test("nothing goes where something is mounted", async () => {
  const mountInfo = `30 25 8:1 / ${join(root, "snapshots/with space").replace(" ", "\\040")} rw - ext4 /dev/sda1 rw\n`;
  await expect(reset(mountInfo)).rejects.toMatchObject({
    code: "store/unusable",
    message: expect.stringMatching(/with space/),
  });
  expect(existsSync(join(root, "kiln.db"))).toBe(true);
});

test("what a killed reset left goes too", async () => {
  const left = join(root, "removed-01234567-89ab-cdef-0123-456789abcdef");
  mkdirSync(join(left, "snapshots"), { recursive: true });
  expect(await reset()).toEqual([]);
  expect(existsSync(root)).toBe(false);
});
