import { hash } from "node:crypto";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import * as c from "./constants.ts";
import { locateNative } from "./locate.ts";

const native = locateNative();
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn("not root: tests of devices, owners and trusted attributes are skipped");

let directory = "";
let dirfd = -1;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-native-"));
  dirfd = native.openPath(directory, c.O_PATH | c.O_DIRECTORY);
});

afterEach(() => {
  native.close(dirfd);
  rmSync(directory, { recursive: true, force: true });
});

function errorOf(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("openat2", () => {
  test("keeps an absolute symlink inside the root", () => {
    mkdirSync(join(directory, "etc"));
    writeFileSync(join(directory, "etc/name"), "inside");
    symlinkSync("/etc/name", join(directory, "link"));
    const fd = native.openat2(dirfd, "link", { flags: c.O_RDONLY, resolve: c.RESOLVE_IN_ROOT });
    expect(readFileSync(fd, "utf8")).toBe("inside");
    native.close(fd);
  });

  test.each([
    { name: "beneath", path: "../x", resolve: c.RESOLVE_BENEATH, code: "EXDEV" },
    { name: "without symlinks", path: "up/x", resolve: c.RESOLVE_NO_SYMLINKS, code: "ELOOP" },
    { name: "of nothing", path: "gone", resolve: 0, code: "ENOENT" },
    { name: "with a NUL", path: "a\0b", resolve: 0, code: "EINVAL" },
    { name: "too long", path: "x/".repeat(3000), resolve: 0, code: "ENAMETOOLONG" },
  ])("fails $name with the kernel's code", ({ path, resolve, code }) => {
    symlinkSync("..", join(directory, "up"));
    expect(errorOf(() => native.openat2(dirfd, path, { flags: c.O_RDONLY, resolve }))).toMatchObject({
      code,
      syscall: "openat2",
      path,
    });
  });

  test("makes errors that read like Node's own", () => {
    const theirs = errorOf(() => openSync(join(directory, "gone"), "r"));
    const ours = errorOf(() => native.openPath(join(directory, "gone"), c.O_RDONLY));
    expect(String(ours)).toBe(String(theirs));
  });
});

describe("names", () => {
  test("that are not UTF-8 survive every call", () => {
    const bytes = Buffer.from("caf\xe9\xff", "latin1");
    native.close(native.openat2(dirfd, bytes, { flags: c.O_CREAT | c.O_WRONLY }));
    const scan = native.scanTreeSync(dirfd);
    const name = scan.name(1);
    expect(name).toBe("caf\udce9\udcff");
    expect(native.statat(dirfd, name).size).toBe(0);
    native.renameat(dirfd, name, dirfd, "é\udcff");
    expect(readdirSync(directory, { encoding: "buffer" })).toEqual([Buffer.from([0xc3, 0xa9, 0xff])]);
    native.symlinkat(bytes, dirfd, "link");
    expect(native.readlinkat(dirfd, "link")).toBe(name);
  });
});

describe("the *at family", () => {
  test("makes, links, renames and removes without following symlinks", () => {
    native.mkdirat(dirfd, "d", 0o700);
    native.symlinkat("nowhere", dirfd, "s");
    native.linkat(dirfd, "s", dirfd, "t");
    expect(native.statat(dirfd, "t")).toMatchObject({ nlink: 2, size: 7 });
    native.renameat(dirfd, "t", dirfd, "d/u");
    expect(errorOf(() => native.renameat(dirfd, "s", dirfd, "d"))).toMatchObject({ code: "EISDIR" });
    expect(native.readlinkat(dirfd, "d/u")).toBe("nowhere");
    native.unlinkat(dirfd, "d/u");
    native.unlinkat(dirfd, "d", c.AT_REMOVEDIR);
    expect(native.tryStatat(dirfd, "d")).toBeUndefined();
    expect(native.tryStatat(dirfd, "s/below")).toBeUndefined();
    native.mknodat(dirfd, "pipe", c.S_IFIFO | 0o640);
    expect(native.statat(dirfd, "pipe").mode & c.S_IFMT).toBe(c.S_IFIFO);
  });

  test.each([
    { name: "before 1970", ns: -1_500_000_001n },
    { name: "after 2038", ns: 4_102_444_800_123_456_789n },
    { name: "today", ns: 1_700_000_000_999_999_999n },
  ])("sets times $name to the nanosecond, of symlinks too", ({ ns }) => {
    native.symlinkat("x", dirfd, "s");
    native.utimensat(dirfd, "s", ns);
    // ext4 keeps times until 2446, so all of these fit.
    expect(native.statat(dirfd, "s").mtimeNs).toBe(ns);
  });

  test("changes the mode of files and refuses that of symlinks", () => {
    writeFileSync(join(directory, "f"), "");
    symlinkSync("f", join(directory, "s"));
    native.fchmodat(dirfd, "f", 0o4711);
    expect(native.statat(dirfd, "f").mode & 0o7777).toBe(0o4711);
    expect(errorOf(() => native.fchmodat(dirfd, "s", 0o600))).toMatchObject({ code: "ENOTSUP" });
    const fd = native.openat2(dirfd, "f", { flags: c.O_PATH });
    native.fchmodat(fd, "", 0o600);
    expect(native.statat(fd, "").mode & 0o7777).toBe(0o600);
    native.close(fd);
  });

  test.skipIf(!isRoot)("makes devices and changes owners, of symlinks too", () => {
    native.mknodat(dirfd, "null", c.S_IFCHR | 0o666, { major: 1, minor: 3 });
    expect(native.statat(dirfd, "null")).toMatchObject({ rdevMajor: 1, rdevMinor: 3 });
    native.symlinkat("x", dirfd, "s");
    native.fchownat(dirfd, "s", 4_000_000_000, 65_534);
    expect(native.statat(dirfd, "s")).toMatchObject({ uid: 4_000_000_000, gid: 65_534 });
  });
});

describe("extended attributes", () => {
  test("come back byte for byte, by name and by descriptor", () => {
    writeFileSync(join(directory, "f"), "");
    const value = Buffer.from([0, 255, 10, 61, 0]);
    native.setXattr(dirfd, "f", "user.kiln", value);
    native.setXattr(dirfd, "f", "user.empty", Buffer.alloc(0));
    const fd = native.openat2(dirfd, "f", { flags: c.O_RDONLY });
    expect([...native.listXattrs(fd, "")].toSorted()).toEqual(["user.empty", "user.kiln"]);
    expect(native.getXattr(dirfd, "f", "user.kiln")).toEqual(value);
    expect(native.getXattr(fd, "", "user.empty")).toEqual(Buffer.alloc(0));
    native.removeXattr(dirfd, "f", "user.kiln");
    expect(native.getXattr(dirfd, "f", "user.kiln")).toBeUndefined();
    native.close(fd);
    expect(native.scanTreeSync(dirfd, { xattrs: true }).hasXattrs(1)).toBe(true);
  });

  test.skipIf(!isRoot)("belong to a symlink itself", () => {
    symlinkSync("/etc/passwd", join(directory, "s"));
    native.setXattr(dirfd, "s", "trusted.kiln", Buffer.from("1"));
    expect(native.listXattrs(dirfd, "s")).toEqual(["trusted.kiln"]);
  });
});

describe("locks", () => {
  test("exclude another process and go with it", async () => {
    const path = join(directory, "lock");
    const fd = openSync(path, "w");
    expect(native.tryLock(fd, "exclusive")).toBe(true);
    const other = openSync(path, "w");
    expect(native.tryLock(other, "shared")).toBe(false);
    expect(spawnSync("flock", ["-n", path, "true"]).status).not.toBe(0);
    const granted = native.lock(other, "exclusive");
    closeSync(fd);
    await granted;
    native.unlock(other);
    expect(native.tryLock(other, "shared")).toBe(true);
    closeSync(other);
  });
});

describe("scanTree", () => {
  test("lists directories before what they hold, names in byte order", async () => {
    for (const name of ["b", "a", "a/z", "a/y"]) mkdirSync(join(directory, name), { recursive: true });
    for (const name of ["a.txt", "a/z/f", "b/ﬀ", "b/😀"]) writeFileSync(join(directory, name), name);
    symlinkSync("a", join(directory, "l"));
    const scan = await native.scanTree(dirfd, { links: true });
    const paths = Array.from({ length: scan.count }, (_, index) => scan.path(index));
    // UTF-16 would put the emoji first.
    expect(paths).toEqual(["", "a", "a/y", "a/z", "a/z/f", "a.txt", "b", "b/ﬀ", "b/😀", "l"]);
    expect(scan.linkTarget(9)).toBe("a");
    expect(scan.columns.size[4]).toBe(5);
    expect(scan.columns.mtimeNs[4]).toBe(native.statat(dirfd, "a/z/f").mtimeNs);
    expect(scan.columns.ino[4]).toBe(native.statat(dirfd, "a/z/f").ino);
  });

  test("does not enter what is pruned", async () => {
    for (const name of ["a/node_modules/x", "a/b/c", "b/b/c"]) mkdirSync(join(directory, name), { recursive: true });
    const scan = await native.scanTree(dirfd, { pruneNames: ["node_modules"], prunePaths: ["b/b"] });
    const paths = Array.from({ length: scan.count }, (_, index) => scan.path(index));
    expect(paths).toEqual(["", "a", "a/b", "a/b/c", "a/node_modules", "b", "b/b"]);
    expect((await native.scanTree(dirfd, { maxDepth: 1 })).count).toBe(3);
    expect((await native.scanTree(dirfd, { path: "a/b" })).path(1)).toBe("c");
  });

  test("names the directory that is missing", async () => {
    await expect(native.scanTree(dirfd, { path: "gone" })).rejects.toMatchObject({ code: "ENOENT", path: "gone" });
  });

  test("and removeTree survive a tree deeper than a path can be", async () => {
    let fd = native.openPath(directory, c.O_PATH);
    for (let depth = 0; depth < 3000; depth += 1) {
      native.mkdirat(fd, "dd", 0o755);
      const next = native.openat2(fd, "dd", { flags: c.O_PATH });
      native.close(fd);
      fd = next;
    }
    native.close(fd);
    expect((await native.scanTree(dirfd)).count).toBe(3001);
    await native.removeTree(dirfd, "dd");
    expect(readdirSync(directory)).toEqual([]);
  });
});

test("removeTree does not mind others that remove the same tree, as processes do that empty one trash", async () => {
  for (let round = 0; round < 40; round += 1) {
    for (let n = 0; n < 20; n += 1) mkdirSync(join(directory, `shared/${n}/d`), { recursive: true });
    await Promise.all(Array.from({ length: 4 }, () => native.removeTree(dirfd, "shared")));
    expect(readdirSync(directory)).toEqual([]);
  }
});

test("removeTree unlinks symlinks and leaves what they point at", async () => {
  mkdirSync(join(directory, "keep"));
  writeFileSync(join(directory, "keep/f"), "");
  mkdirSync(join(directory, "go/d"), { recursive: true });
  symlinkSync("../../keep", join(directory, "go/d/link"));
  await native.removeTree(dirfd, "go");
  await native.removeTree(dirfd, "gone");
  expect(readdirSync(join(directory, "keep"))).toEqual(["f"]);
  expect(readdirSync(directory)).toEqual(["keep"]);
});

describe("batches", () => {
  test("digest many files, each with its own result", async () => {
    const large = Buffer.alloc(200_000, "large");
    writeFileSync(join(directory, "a"), "hello");
    writeFileSync(join(directory, "large"), large);
    writeFileSync(join(directory, "block"), Buffer.alloc(65_536, 1));
    symlinkSync("a", join(directory, "s"));
    mkdirSync(join(directory, "below"));
    writeFileSync(join(directory, "below/b"), "world");
    writeFileSync(join(directory, "gone"), "");
    const scan = native.scanTreeSync(dirfd);
    rmSync(join(directory, "gone"));
    const rowOf = (path: string): number =>
      Array.from({ length: scan.count }, (_, row) => row).findIndex((row) => scan.path(row) === path);
    const rows = Int32Array.from(["a", "large", "block", "s", "gone", "below/b"], rowOf);
    const kept = { bytes: new Uint8Array(20), offsets: new Float64Array(scan.count).fill(-1) };
    kept.offsets[rowOf("a")] = 0;
    kept.offsets[rowOf("below/b")] = 5;
    writeFileSync(join(directory, "a"), "jello and more");
    const { digests, results } = await native.digestRows(dirfd, { columns: scan.columns, rows, kept });
    expect([...results]).toEqual([14, 200_000, 65_536, -40, -2, 5]);
    const bytes = ["jello and more", large, Buffer.alloc(65_536, 1), undefined, undefined, "world"];
    for (const [at, each] of bytes.entries()) {
      if (each === undefined) continue;
      expect(digests.toString("hex", at * 32, at * 32 + 32)).toBe(hash("sha256", each, "hex"));
    }
    // A file that has grown is not kept, and takes no other file's room.
    expect(Buffer.from(kept.bytes).subarray(5, 10).toString()).toBe("world");
    expect(Buffer.from(kept.bytes).subarray(10)).toEqual(Buffer.alloc(10));
    const beyond = { ...kept, offsets: kept.offsets.with(rowOf("below/b"), 16) };
    await expect(native.digestRows(dirfd, { columns: scan.columns, rows, kept: beyond })).rejects.toThrow(RangeError);
  });

  test("say what copies hold", async () => {
    mkdirSync(join(directory, "to"));
    const texts = ["a", "", "long".repeat(100_000)];
    for (const [at, text] of texts.entries()) writeFileSync(join(directory, `${at}`), text);
    const to = native.openPath(join(directory, "to"), c.O_PATH);
    const copied = { digests: new Uint8Array(4 * 32), sizes: new Float64Array(4).fill(-1) };
    const results = await native.copyFiles(dirfd, to, {
      from: ["0", "1", "2", "gone"],
      to: ["0", "1", "2", "3"],
      modes: new Uint32Array(4).fill(0o400),
      uids: new Uint32Array(4).fill(process.getuid?.() ?? 0),
      gids: new Uint32Array(4).fill(process.getgid?.() ?? 0),
      mtimesNs: new BigInt64Array(4),
      copied,
    });
    native.close(to);
    expect([...results]).toEqual([0, 0, 0, -2]);
    expect([...copied.sizes]).toEqual([1, 0, 400_000, -1]);
    const digests = texts.map((text) => hash("sha256", text));
    expect(Buffer.from(copied.digests).toString("hex", 0, 96)).toBe(digests.join(""));
  });

  test("link only files that are as wanted, below both directories", async () => {
    for (const path of ["from/d", "to/d", "other"]) mkdirSync(join(directory, path), { recursive: true });
    const names = ["d/same", "d/mode", "d/size", "d/time", "d/gone", "top", "link/x", "d/named"];
    for (const name of ["d/same", "d/mode", "d/size", "d/time", "top", "d/named"]) {
      writeFileSync(join(directory, "from", name), "x", { mode: 0o644 });
      native.utimensat(dirfd, `from/${name}`, 7_000_000_007n);
    }
    writeFileSync(join(directory, "other/x"), "x", { mode: 0o644 });
    symlinkSync("../other", join(directory, "from/link"));
    symlinkSync("../other", join(directory, "to/link"));
    writeFileSync(join(directory, "to/d/named"), "there");
    const [from, to] = ["from", "to"].map((name) => native.openPath(join(directory, name), c.O_PATH | c.O_DIRECTORY));
    const all = names.length;
    const linked = await native.linkFiles(from ?? -1, to ?? -1, {
      names,
      sizes: Float64Array.from(names, (name) => (name === "d/size" ? 2 : 1)),
      modes: Uint32Array.from(names, (name) => (name === "d/mode" ? 0o600 : 0o644)),
      uids: new Uint32Array(all).fill(process.getuid?.() ?? 0),
      gids: new Uint32Array(all).fill(process.getgid?.() ?? 0),
      mtimesNs: BigInt64Array.from(names, (name) => (name === "d/time" ? 7n : 7_000_000_007n)),
    });
    const ino = (path: string): number => Number(native.statat(dirfd, path).ino);
    expect([...linked]).toEqual([ino("from/d/same"), -116, -116, -116, -2, ino("from/top"), -40, -17]);
    expect(ino("to/d/same")).toBe(ino("from/d/same"));
    expect(native.tryStatat(dirfd, "to/d/mode")).toBeUndefined();
    for (const fd of [from, to]) native.close(fd ?? -1);
  });

  test("write and copy many files with their metadata", async () => {
    mkdirSync(join(directory, "to"));
    const data = Buffer.from("onetwo");
    const metadata = {
      modes: Uint32Array.of(0o4755, 0o600),
      uids: new Uint32Array(2).fill(process.getuid?.() ?? 0),
      gids: new Uint32Array(2).fill(process.getgid?.() ?? 0),
      mtimesNs: BigInt64Array.of(-1n, 1_234_567_890_123_456_789n),
    };
    const places = { offsets: Float64Array.of(0, 3), sizes: Float64Array.of(3, 3) };
    const batch = { names: ["one", "two"], data, ...places, resolve: c.RESOLVE_IN_ROOT, ...metadata };
    expect(() => native.writeFilesSync(dirfd, { ...batch, offsets: Float64Array.of(0, data.length - 2) })).toThrow(
      "outside",
    );
    expect([...native.writeFilesSync(dirfd, batch)]).toEqual([0, 0]);
    const to = native.openPath(join(directory, "to"), c.O_PATH);
    const copied = await native.copyFiles(dirfd, to, { from: ["one", "two"], to: ["1", "2"], ...metadata });
    expect([...copied]).toEqual([0, 0]);
    const again = await native.copyFiles(dirfd, to, { from: ["one", "gone"], to: ["1", "3"], ...metadata });
    expect([...again]).toEqual([-17, -2]);
    native.close(to);
    expect(readFileSync(join(directory, "to/2"), "utf8")).toBe("two");
    expect(native.statat(dirfd, "to/1")).toMatchObject({ mode: c.S_IFREG | 0o4755, mtimeNs: -1n, size: 3 });
  });

  test("copy large files whole", async () => {
    const bytes = Buffer.alloc(3_000_001, "kiln");
    writeFileSync(join(directory, "big"), bytes);
    const metadata = {
      modes: Uint32Array.of(0o644),
      uids: Uint32Array.of(process.getuid?.() ?? 0),
      gids: Uint32Array.of(process.getgid?.() ?? 0),
      mtimesNs: BigInt64Array.of(0n),
    };
    expect([...(await native.copyFiles(dirfd, dirfd, { from: ["big"], to: ["copy"], ...metadata }))]).toEqual([0]);
    expect(readFileSync(join(directory, "copy")).equals(bytes)).toBe(true);
  });

  test("copy the holes of a file as holes", async () => {
    const big = join(directory, "sparse");
    writeFileSync(big, "");
    truncateSync(big, 64 << 20);
    const fd = openSync(big, "r+");
    writeSync(fd, Buffer.alloc(100_000, "x"), 0, 100_000, 5 << 20);
    writeSync(fd, "end of data", 20 << 20);
    closeSync(fd);
    const copied = { digests: new Uint8Array(32), sizes: new Float64Array(1) };
    const metadata = {
      modes: Uint32Array.of(0o644),
      uids: Uint32Array.of(process.getuid?.() ?? 0),
      gids: Uint32Array.of(process.getgid?.() ?? 0),
      mtimesNs: BigInt64Array.of(0n),
    };
    const batch = { from: ["sparse"], to: ["copy"], ...metadata, copied };
    expect([...(await native.copyFiles(dirfd, dirfd, batch))]).toEqual([0]);
    expect(Buffer.from(copied.digests).toString("hex")).toBe(hash("sha256", readFileSync(big)));
    expect(copied.sizes[0]).toBe(64 << 20);
    expect(statSync(join(directory, "copy")).blocks * 512).toBeLessThan(1 << 20);
    // A hole from the start to the end.
    truncateSync(big, 0);
    truncateSync(big, 1 << 20);
    expect([...(await native.copyFiles(dirfd, dirfd, { ...batch, to: ["hole"] }))]).toEqual([0]);
    expect(readFileSync(join(directory, "hole")).equals(Buffer.alloc(1 << 20))).toBe(true);
  });
});
