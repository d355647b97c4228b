import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { locateNative } from "../native/locate.ts";
import { openStore } from "./open-store.ts";

const OTHER = 12_345;
const why = process.getuid?.() === 0 ? undefined : "needs root, to give files to another user";
if (why !== undefined) console.warn(`the tests of stores that others prepared are skipped: ${why}`);

let folder: string;
let root: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kiln-ownership-"));
  root = join(folder, "store");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function open(): Promise<void> {
  await using _store = openStore(root, { native: locateNative(), clock: { nowMs: () => 1_700_000_000_000 } });
}

describe.skipIf(why !== undefined)("a store", () => {
  test.each([
    { name: "belongs to another user", prepare: () => chownSync(root, OTHER, OTHER), says: /belongs to user 12345/ },
    {
      name: "everybody may write in, with something in it",
      prepare: () => {
        chmodSync(root, 0o777);
        writeFileSync(join(root, "x"), "");
      },
      says: /other users may write there/,
    },
    {
      name: "a strange group may write in, with something in it",
      prepare: () => {
        chownSync(root, 0, OTHER);
        chmodSync(root, 0o775);
        writeFileSync(join(root, "x"), "");
      },
      says: /other users may write there/,
    },
    {
      name: "is another user's link to a directory of ours",
      prepare: () => {
        rmSync(root, { recursive: true });
        mkdirSync(join(folder, "ours"));
        symlinkSync("ours", root);
        lchownSync(root, OTHER, OTHER);
      },
      says: /belongs to user 12345/,
    },
    ...[
      "running",
      "blobs",
      "snapshots",
      "kiln.db",
      "logs",
      "leases",
      "cache-mounts",
      "runtime",
      "scratch",
      "reserve",
      "boot",
      "owners",
    ].map((name) => ({
      name: `has another user's link for ${name}`,
      prepare: () => {
        symlinkSync(join(folder, "elsewhere"), join(root, name));
        lchownSync(join(root, name), OTHER, OTHER);
      },
      says: new RegExp(`/${name}" belongs to user 12345`),
    })),
    {
      name: "has a directory of another user's",
      prepare: () => {
        mkdirSync(join(root, "blobs"));
        chownSync(join(root, "blobs"), OTHER, OTHER);
      },
      says: /\/blobs" belongs to user 12345/,
    },
    {
      name: "has a directory that everybody may write in",
      prepare: () => {
        mkdirSync(join(root, "leases"));
        chmodSync(join(root, "leases"), 0o777);
      },
      says: /other users may write in/,
    },
  ])("that $name is refused, and nothing is made", async ({ prepare, says }) => {
    mkdirSync(root);
    mkdirSync(join(folder, "elsewhere"));
    prepare();
    const before = readdirSync(root);
    await expect(open()).rejects.toMatchObject({
      code: "store/unusable",
      message: expect.stringMatching(says),
      hint: expect.stringContaining("--root"),
    });
    expect(readdirSync(root)).toEqual(before);
    expect(readdirSync(join(folder, "elsewhere"))).toEqual([]);
  });

  test.each([
    { name: "an empty volume that everybody may write in", prepare: () => chmodSync(root, 0o1777), mode: 0o1755 },
    {
      name: "an empty volume of a group",
      prepare: () => {
        chownSync(root, 0, OTHER);
        chmodSync(root, 0o2775);
        mkdirSync(join(root, "lost+found"));
      },
      mode: 0o2755,
    },
    {
      name: "our own link to our own directory",
      prepare: () => {
        rmSync(root, { recursive: true });
        mkdirSync(join(folder, "ours"));
        symlinkSync("ours", root);
      },
      mode: 0o755,
    },
    {
      name: "our own link to another disk",
      prepare: () => {
        mkdirSync(join(folder, "disk"));
        symlinkSync(join(folder, "disk"), join(root, "snapshots"));
      },
      mode: 0o755,
    },
  ])("may be $name", async ({ prepare, mode }) => {
    mkdirSync(root);
    prepare();
    await open();
    await open();
    expect(statSync(root).mode & 0o7777).toBe(mode);
  });
});

test("a directory that is missing in a store is made again", async () => {
  await open();
  for (const name of ["blobs", "leases"]) rmSync(join(root, name), { recursive: true });
  await open();
  expect(statSync(join(root, "blobs/sha256")).isDirectory()).toBe(true);
  expect(statSync(join(root, "leases")).isDirectory()).toBe(true);
});

test("a path that is too long for a store is said to be, and the longest one works", async () => {
  const deep = (bytes: number): string => {
    let path = folder;
    while (path.length < bytes) path += `/${"x".repeat(Math.max(1, Math.min(200, bytes - path.length - 1)))}`;
    return path;
  };
  root = deep(496);
  expect(Buffer.byteLength(root)).toBe(496);
  await open();
  for (const bytes of [497, 1100, 3900]) {
    root = deep(bytes);
    spawnSync("mkdir", ["-p", root]);
    await expect(open()).rejects.toMatchObject({
      code: "store/unusable",
      message: expect.stringMatching(/its path has \d+ bytes, and a store's may have 496/) as string,
    });
  }
});
