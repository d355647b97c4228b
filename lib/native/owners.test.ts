import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AT_FDCWD, O_DIRECTORY, O_PATH, S_IFCHR, S_IFMT } from "./constants.ts";
import { locateNative } from "./locate.ts";

// keepOwners is for a whole process, and this file has one of its own.
const native = locateNative();
const home = mkdtempSync(join(tmpdir(), "kiln-owners-"));
const records = join(home, "owners");
const tree = join(home, "tree");

beforeAll(() => {
  mkdirSync(records);
  mkdirSync(tree);
  native.keepOwners(records);
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const ownerOf = (path: string): string => {
  const { uid, gid } = native.statat(AT_FDCWD, path);
  return `${uid}:${gid}`;
};

test("a file and a directory have the owner they were given, and no attribute to be seen", () => {
  for (const name of ["file", "directory"]) {
    const path = join(tree, name);
    if (name === "file") writeFileSync(path, "");
    else mkdirSync(path);
    native.fchownat(AT_FDCWD, path, 33, 1_000_000);
    expect(ownerOf(path)).toBe("33:1000000");
    expect(native.listXattrs(AT_FDCWD, path)).toEqual([]);
    expect(native.getXattr(AT_FDCWD, path, "user.kiln.owner")?.toString()).toBe("33:1000000");
    native.fchownat(AT_FDCWD, path, 0, 0);
    expect(native.getXattr(AT_FDCWD, path, "user.kiln.owner")).toBeUndefined();
  }
});

test("a symbolic link's owner is kept beside the tree, through a rename, until the link is removed", () => {
  const link = join(tree, "link");
  symlinkSync("nowhere", link);
  native.fchownat(AT_FDCWD, link, 5, 6);
  native.renameat(AT_FDCWD, link, AT_FDCWD, join(tree, "moved"));
  expect(ownerOf(join(tree, "moved"))).toBe("5:6");
  expect(readdirSync(records)).toHaveLength(1);
  native.removeTreeSync(native.openPath(tree, O_PATH | O_DIRECTORY), "moved");
  expect(readdirSync(records)).toEqual([]);
});

test("many files are written and scanned with their owners", () => {
  const fd = native.openPath(tree, O_PATH | O_DIRECTORY);
  const [result] = native.writeFilesSync(fd, {
    names: ["batch"],
    data: Buffer.from("x"),
    resolve: 0,
    offsets: Float64Array.of(0),
    sizes: Float64Array.of(1),
    modes: Uint32Array.of(0o4755),
    uids: Uint32Array.of(7),
    gids: Uint32Array.of(8),
    mtimesNs: BigInt64Array.of(0n),
  });
  expect(result).toBe(0);
  const scan = native.scanTreeSync(fd);
  const row = Array.from({ length: scan.count }, (_, index) => index).find((index) => scan.path(index) === "batch");
  expect(row).toBeDefined();
  expect([scan.columns.uid[row ?? 0], scan.columns.gid[row ?? 0]]).toEqual([7, 8]);
  expect((scan.columns.mode[row ?? 0] ?? 0) & 0o7777).toBe(0o4755);
  native.close(fd);
});

/** The bytes of system.posix_acl_access: (tag, rights, id) after the version. */
function accessList(...entries: readonly (readonly [tag: number, rights: number, id?: number])[]): Buffer {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, rights, id = 0xffff_ffff]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(rights, 6 + 8 * index);
    bytes.writeUInt32LE(id, 8 + 8 * index);
  }
  return bytes;
}

test("access control lists may name any id, show under their own names, and follow the mode", () => {
  const path = join(tree, "listed");
  mkdirSync(path);
  native.fchmodat(AT_FDCWD, path, 0o770);
  const list = accessList([1, 7], [2, 6, 3_000_000], [4, 5], [16, 7], [32, 0]);
  native.setXattr(AT_FDCWD, path, "system.posix_acl_access", list);
  native.setXattr(AT_FDCWD, path, "system.posix_acl_default", list);
  native.fchownat(AT_FDCWD, path, 5, 6);
  expect(native.listXattrs(AT_FDCWD, path).toSorted()).toEqual(["system.posix_acl_access", "system.posix_acl_default"]);
  expect(native.getXattr(AT_FDCWD, path, "system.posix_acl_default")).toEqual(list);
  native.fchmodat(AT_FDCWD, path, 0o741);
  expect(native.getXattr(AT_FDCWD, path, "system.posix_acl_access")).toEqual(
    accessList([1, 7], [2, 6, 3_000_000], [4, 5], [16, 4], [32, 1]),
  );
  native.removeXattr(AT_FDCWD, path, "system.posix_acl_access");
  expect(native.listXattrs(AT_FDCWD, path)).toEqual(["system.posix_acl_default"]);
});

test("a record that is no owner is none", () => {
  const path = join(tree, "forged");
  writeFileSync(path, "");
  for (const text of ["", "1", "1:2:3", "a:b", "0:0:c:1", "0:0:x:1:3", "9".repeat(100)]) {
    native.setXattr(AT_FDCWD, path, "user.kiln.owner", Buffer.from(text));
    expect(ownerOf(path)).toBe(`${process.getuid?.()}:${process.getgid?.()}`);
  }
});

test("a file that stands for a device is told as one", () => {
  const path = join(tree, "null");
  writeFileSync(path, "");
  native.setXattr(AT_FDCWD, path, "user.kiln.owner", Buffer.from("0:6:c:1:3"));
  const status = native.statat(AT_FDCWD, path);
  expect(status.mode & S_IFMT).toBe(S_IFCHR);
  expect([status.gid, status.rdevMajor, status.rdevMinor]).toEqual([6, 1, 3]);
  native.fchownat(AT_FDCWD, path, 1, 2);
  expect(native.statat(AT_FDCWD, path)).toMatchObject({ uid: 1, gid: 2, rdevMajor: 1, rdevMinor: 3 });
});
