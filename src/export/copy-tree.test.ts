import { spawnSync } from "node:child_process";
import { chmod, link, lstat, mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AT_FDCWD, S_IFCHR, S_IFIFO } from "../../lib/native/constants.ts";
import { SystemError } from "../../lib/native/errno.ts";
import { locateNative } from "../../lib/native/locate.ts";
import { copyTree, filesIn, removeOthers } from "./copy-tree.ts";

const native = locateNative();
const signal = new AbortController().signal;
let home = "";
let from = "";
let to = "";

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "kiln-copy-"));
  from = join(home, "from");
  to = join(home, "to");
  await mkdir(from);
  await mkdir(to);
});
afterEach(() => rm(home, { recursive: true, force: true }));

const copy = (mtimeSeconds?: number) => copyTree(from, to, { native, mtimeSeconds }, signal);

test("names that are not text, times to the nanosecond, modes, links", async () => {
  const strange = Buffer.concat([Buffer.from(`${from}/a`), Buffer.of(0xff, 0xfe)]);
  await writeFile(strange, "x");
  await mkdir(join(from, "dir"), { mode: 0o500 });
  await writeFile(join(from, "one"), "1", { mode: 0o640 });
  await link(join(from, "one"), join(from, "two"));
  await symlink("absent", join(from, "link"));
  for (const name of ["one", "link", "dir"]) {
    spawnSync("touch", ["-h", "-d", "2001-02-03 04:05:06.123456789 UTC", join(from, name)]);
  }
  await copy();
  expect(await readFile(Buffer.concat([Buffer.from(`${to}/a`), Buffer.of(0xff, 0xfe)]), "utf8")).toBe("x");
  for (const name of ["one", "link", "dir"]) {
    expect((await lstat(join(to, name), { bigint: true })).mtimeNs, name).toBe(981_173_106_123_456_789n);
  }
  expect((await stat(join(to, "one"))).mode & 0o7777).toBe(0o640);
  expect((await stat(join(to, "dir"))).mode & 0o7777).toBe(0o500);
  expect((await stat(join(to, "one"))).ino).toBe((await stat(join(to, "two"))).ino);
  expect(await readlink(join(to, "link"))).toBe("absent");
});

test("a date for everything", async () => {
  await mkdir(join(from, "dir"));
  await writeFile(join(from, "dir/f"), "");
  await copy(77);
  for (const path of ["dir", "dir/f"]) expect((await stat(join(to, path))).mtimeMs).toBe(77_000);
});

test("what is in the way is replaced, symlinks are not followed, the rest stays", async () => {
  await mkdir(join(home, "outside"));
  await writeFile(join(home, "outside/f"), "kept");
  await symlink(join(home, "outside"), join(to, "dir"));
  await symlink(join(home, "outside/f"), join(to, "file"));
  await mkdir(join(to, "folder"));
  await writeFile(join(to, "folder/x"), "");
  await writeFile(join(to, "other"), "other");
  await mkdir(join(from, "dir"));
  await writeFile(join(from, "dir/f"), "new");
  await writeFile(join(from, "file"), "new");
  await writeFile(join(from, "folder"), "new");
  await copy();
  expect(await readFile(join(home, "outside/f"), "utf8")).toBe("kept");
  for (const path of ["dir/f", "file", "folder"]) expect(await readFile(join(to, path), "utf8")).toBe("new");
  expect(await readFile(join(to, "other"), "utf8")).toBe("other");
});

test("a copy over an earlier copy works, directories without write permission included", async () => {
  await mkdir(join(from, "dir"));
  await writeFile(join(from, "dir/f"), "1");
  await chmod(join(from, "dir"), 0o555);
  await copy();
  await writeFile(join(from, "dir/f"), "2");
  await copy();
  expect(await readFile(join(to, "dir/f"), "utf8")).toBe("2");
});

test("what a copy has not written can be removed", async () => {
  await mkdir(join(from, "dir"));
  await writeFile(join(from, "dir/f"), "");
  await mkdir(join(to, "dir/deep"), { recursive: true });
  await writeFile(join(to, "dir/deep/x"), "");
  await mkdir(join(to, "old"));
  await symlink(from, join(to, "link"));
  const { written } = await copy();
  await removeOthers(to, new Set(written), native);
  expect(await filesIn(to, native)).toEqual(["dir/f"]);
  expect(await filesIn(from, native)).toEqual(["dir/f"]);
});

test.skipIf(process.getuid?.() !== 0)("fifos and devices", async () => {
  native.mknodat(AT_FDCWD, join(from, "p"), S_IFIFO | 0o640);
  native.mknodat(AT_FDCWD, join(from, "c"), S_IFCHR | 0o600, { major: 1, minor: 3 });
  await writeFile(join(to, "c"), "in the way");
  expect(await copy(77)).toEqual({ written: ["c", "p"], leftOut: [] });
  const device = await stat(join(to, "c"));
  expect([device.isCharacterDevice(), device.rdev, device.mtimeMs]).toEqual([true, 0x103, 77_000]);
  expect((await stat(join(to, "p"))).mode & 0o7777).toBe(0o640);
});

test.skipIf(process.getuid?.() !== 0)("devices that this user may not make are left out and reported", async () => {
  native.mknodat(AT_FDCWD, join(from, "p"), S_IFIFO | 0o640);
  native.mknodat(AT_FDCWD, join(from, "c"), S_IFCHR | 0o600, { major: 1, minor: 3 });
  const unprivileged: typeof native = {
    ...native,
    mknodat(dirfd, name, mode, device) {
      if (device !== undefined) throw new SystemError(-1, "mknod", String(name));
      native.mknodat(dirfd, name, mode);
    },
  };
  expect(await copyTree(from, to, { native: unprivileged, mtimeSeconds: undefined }, signal)).toEqual({
    written: ["p"],
    leftOut: ["c"],
  });
});
