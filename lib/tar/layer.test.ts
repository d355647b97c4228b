import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { S_IFCHR, S_IFIFO } from "../native/constants.ts";
import { locateNative } from "../native/locate.ts";
import { decodeName } from "../native/names.ts";
import { BLOCK, type TarEntry } from "./entry.ts";
import { measureLayer } from "./measure.ts";
import { packLayer, type PackOptions } from "./pack.ts";
import { TarReader } from "./read.ts";
import { dir, link, type Member, symlink, tarOf } from "./testing.ts";
import { unpackArchive, unpackLayer } from "./unpack.ts";

const native = locateNative();
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn("not root: tests of whiteouts, owners and devices are skipped");
const signal = new AbortController().signal;
const CAPABILITY = Buffer.from("0100000200040000000000000000000000000000", "hex");

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-layer-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function fresh(name: string): string {
  const path = join(directory, name);
  mkdirSync(path);
  return path;
}

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function entriesOf(path: string, options: Partial<PackOptions> = {}): Promise<TarEntry[]> {
  const reader = new TarReader();
  const bytes = await bytesOf(packLayer(native, { directory: path, marks: "trusted", ...options }, signal));
  return [...reader.push(bytes)].flatMap((event) => (event.kind === "entry" ? [event.entry] : []));
}

async function unpackTo(name: string, members: readonly Member[]): Promise<string> {
  const to = fresh(name);
  await unpackLayer(tarOf(members), { native, directory: to, marks: "trusted" }, signal);
  return to;
}

/** `path=content`, `path/`, `path->target`, `path!` for a whiteout. */
function shape(root: string): string[] {
  const scan = native.scanTreeSync(-100, { path: root, links: true });
  return Array.from({ length: scan.count - 1 }, (_, at) => {
    const index = at + 1;
    const path = scan.path(index);
    switch ((scan.columns.mode[index] ?? 0) >>> 12) {
      case 4:
        return `${path}/${native.getXattr(-100, join(root, path), "trusted.overlay.opaque") === undefined ? "" : "opaque"}`;
      case 10:
        return `${path}->${scan.linkTarget(index)}`;
      case 2:
        return `${path}!`;
      default:
        return `${path}=${readFileSync(join(root, path), "utf8")}`;
    }
  });
}

describe("packing", () => {
  test("writes sorted entries with whole seconds and the first name of a hard link", async () => {
    const from = fresh("from");
    mkdirSync(join(from, "b"));
    writeFileSync(join(from, "b/two"), "22");
    writeFileSync(join(from, "a-one"), "1");
    linkSync(join(from, "b/two"), join(from, "c"));
    symlinkSync("b/two", join(from, "s"));
    for (const name of ["a-one", "b/two", "b"]) utimesSync(join(from, name), 1_600_000_000.75, 1_600_000_000.75);
    const entries = await entriesOf(from);
    expect(entries.map(({ path, type, linkName, size }) => [path, type, linkName, size])).toEqual([
      ["a-one", "file", "", 1],
      ["b", "directory", "", 0],
      ["b/two", "file", "", 2],
      ["c", "link", "b/two", 0],
      ["s", "symlink", "b/two", 0],
    ]);
    expect(entries[2]?.mtimeNs).toBe(1_600_000_000_000_000_000n);
    const [clamped] = await entriesOf(from, { clampMtimeSeconds: 7 });
    expect(clamped?.mtimeNs).toBe(7_000_000_000n);
  });

  test("skips sockets", async () => {
    const from = fresh("from");
    const server = createServer().listen(join(from, "socket"));
    await new Promise((listening) => server.once("listening", listening));
    expect(await entriesOf(from)).toEqual([]);
    await new Promise((closed) => server.close(closed));
  });

  test.skipIf(!isRoot)("turns overlay's marks into whiteouts and never lets them out", async () => {
    const from = fresh("from");
    mkdirSync(join(from, "d"));
    writeFileSync(join(from, "d/f"), "");
    native.mknodat(-100, join(from, "gone"), S_IFCHR | 0o600);
    native.setXattr(-100, join(from, "d"), "trusted.overlay.opaque", Buffer.from("y"));
    native.setXattr(-100, join(from, "d/f"), "trusted.overlay.origin", Buffer.from("x"));
    native.setXattr(-100, join(from, "d/f"), "user.note", Buffer.from("mine"));
    native.setXattr(-100, join(from, "d/f"), "security.capability", CAPABILITY);
    const entries = await entriesOf(from);
    expect(entries.map((entry) => entry.path)).toEqual(["d", "d/.wh..wh..opq", "d/f", ".wh.gone"]);
    expect(entries[3]).toMatchObject({ mode: 0, size: 0, mtimeNs: 0n, type: "file" });
    expect(entries[2]?.xattrs).toEqual(new Map([["security.capability", CAPABILITY]]));
    expect((await entriesOf(from, { xattrs: "user" }))[2]?.xattrs.get("user.note")).toEqual(Buffer.from("mine"));
  });

  test("reads whiteouts in attribute form", async () => {
    const from = fresh("from");
    writeFileSync(join(from, "gone"), "");
    native.setXattr(-100, join(from, "gone"), "user.overlay.whiteout", Buffer.alloc(0));
    const entries = await entriesOf(from, { marks: "user", xattrs: "user" });
    expect(entries.map((entry) => entry.path)).toEqual([".wh.gone"]);
  });

  test.skipIf(!isRoot)("lists as GNU tar expects", async () => {
    const from = fresh("from");
    mkdirSync(join(from, "bin"));
    writeFileSync(join(from, "bin/su"), "#!");
    chownSync(join(from, "bin/su"), 0, 300_000);
    chmodSync(join(from, "bin/su"), 0o4755);
    native.mknodat(-100, join(from, "null"), S_IFCHR | 0o666, { major: 1, minor: 3 });
    native.mknodat(-100, join(from, "pipe"), S_IFIFO | 0o600);
    for (const name of ["bin/su", "bin", "null", "pipe"]) utimesSync(join(from, name), 86_400, 86_400);
    const listing = spawnSync("tar", ["--numeric-owner", "-tvf", "-"], {
      input: await bytesOf(packLayer(native, { directory: from, marks: "trusted" }, signal)),
      env: { ...process.env, TZ: "UTC" },
      encoding: "utf8",
    });
    expect(listing.stderr).toBe("");
    expect(listing.stdout.replaceAll(/ +/g, " ")).toBe(
      [
        "drwxr-xr-x 0/0 0 1970-01-02 00:00 bin/",
        "-rwsr-xr-x 0/300000 2 1970-01-02 00:00 bin/su",
        "crw-r--r-- 0/0 1,3 1970-01-02 00:00 null",
        "prw------- 0/0 0 1970-01-02 00:00 pipe",
        "",
      ].join("\n"),
    );
  });
});

describe("unpacking", () => {
  test.skipIf(!isRoot)("gives back a tree that packs to the same bytes", async () => {
    const from = fresh("from");
    mkdirSync(join(from, "d/e"), { recursive: true });
    writeFileSync(join(from, "d/e/big"), Buffer.alloc(400_000, "x"));
    writeFileSync(join(from, "d/caps"), "x");
    native.mknodat(-100, join(from, "d/gone"), S_IFCHR | 0o600);
    native.mknodat(-100, join(from, "tty"), S_IFCHR | 0o620, { major: 5, minor: 0 });
    native.setXattr(-100, join(from, "d"), "trusted.overlay.opaque", Buffer.from("y"));
    chownSync(join(from, "d/caps"), 5_000_000, 7);
    chmodSync(join(from, "d/caps"), 0o6755);
    native.setXattr(-100, join(from, "d/caps"), "security.capability", CAPABILITY);
    linkSync(join(from, "d/caps"), join(from, "again"));
    native.openPath(Buffer.from(`${from}/\xff\xfe`, "latin1"), 0o101);
    native.utimensat(-100, join(from, "d"), -5_000_000_000n);
    const options = { directory: from, marks: "trusted" } as const;
    const to = fresh("to");
    const result = await unpackLayer(
      packLayer(native, options, signal),
      { native, directory: to, marks: "trusted" },
      signal,
    );
    const before = await measureLayer(native, options, signal);
    expect(result).toMatchObject({ diffId: before.diffId, sizeBytes: before.sizeBytes, entries: before.entries });
    expect(await measureLayer(native, { ...options, directory: to }, signal)).toEqual(before);
  });

  const cases: { name: string; members: Member[]; expected: string[]; root?: true }[] = [
    {
      name: "makes parents that are missing",
      members: [{ path: "a/b/c", content: "1" }],
      expected: ["a/", "a/b/", "a/b/c=1"],
    },
    {
      name: "lets a later file replace an earlier one",
      members: [
        { path: "f", content: "1" },
        { path: "f", content: "22" },
      ],
      expected: ["f=22"],
    },
    {
      name: "lets a file replace a directory",
      members: [dir("f"), { path: "f/x" }, { path: "f", content: "1" }],
      expected: ["f=1"],
    },
    {
      name: "lets a directory replace a file",
      members: [{ path: "f", content: "1" }, dir("f"), { path: "f/x" }],
      expected: ["f/", "f/x="],
    },
    {
      name: "lets a file replace a symlink, not its target",
      members: [{ path: "t", content: "keep" }, symlink("s", "t"), { path: "s", content: "new" }],
      expected: ["s=new", "t=keep"],
    },
    {
      name: "lets a symlink replace a file",
      members: [{ path: "s", content: "1" }, symlink("s", "t")],
      expected: ["s->t"],
    },
    {
      name: "keeps a directory that comes twice",
      members: [dir("d"), { path: "d/f" }, dir("d")],
      expected: ["d/", "d/f="],
    },
    {
      name: "writes through a symlink inside",
      members: [dir("usr/lib"), symlink("lib", "usr/lib"), { path: "lib/f", content: "1" }],
      expected: ["lib->usr/lib", "usr/", "usr/lib/", "usr/lib/f=1"],
    },
    {
      name: "makes the directory that a symlink means",
      members: [symlink("lib", "/usr/lib"), { path: "lib/f", content: "1" }],
      expected: ["lib->/usr/lib", "usr/", "usr/lib/", "usr/lib/f=1"],
    },
    {
      name: "takes absolute and dotted paths as inside",
      members: [{ path: "/a/./b/../c", content: "1" }, { path: "./d" }],
      expected: ["a/", "a/c=1", "d="],
    },
    {
      name: "links to a file before it",
      members: [{ path: "a", content: "1" }, link("b", "/a"), link("c", "./b")],
      expected: ["a=1", "b=1", "c=1"],
    },
    {
      name: "links to a symlink itself",
      members: [symlink("s", "nowhere"), link("t", "s")],
      expected: ["s->nowhere", "t->nowhere"],
    },
    {
      name: "makes whiteouts",
      members: [{ path: "d/.wh.gone" }, { path: ".wh.top" }],
      expected: ["d/", "d/gone!", "top!"],
      root: true,
    },
    {
      name: "makes directories opaque",
      members: [{ path: "d/.wh..wh..opq" }, { path: "d/f" }],
      expected: ["d/opaque", "d/f="],
      root: true,
    },
    {
      name: "keeps a file with a later whiteout",
      members: [{ path: "f", content: "1" }, { path: ".wh.f" }],
      expected: ["f=1"],
      root: true,
    },
    {
      name: "keeps a file with an earlier whiteout",
      members: [{ path: ".wh.f" }, { path: "f", content: "1" }],
      expected: ["f=1"],
      root: true,
    },
    {
      name: "makes a directory over a whiteout opaque",
      members: [{ path: ".wh.d" }, dir("d"), { path: "d/f" }],
      expected: ["d/opaque", "d/f="],
      root: true,
    },
    {
      name: "makes an implied directory over a whiteout opaque",
      members: [{ path: ".wh.d" }, { path: "d/f" }],
      expected: ["d/opaque", "d/f="],
      root: true,
    },
    {
      name: "makes a directory before its whiteout opaque",
      members: [dir("d"), { path: "d/f" }, { path: ".wh.d" }],
      expected: ["d/opaque", "d/f="],
      root: true,
    },
    { name: "ignores aufs's own names", members: [{ path: ".wh..wh.plnk" }, { path: "f" }], expected: ["f="] },
    {
      name: "leaves aufs's own directories out, and keeps what links to their files",
      members: [
        dir(".wh..wh.plnk"),
        { path: ".wh..wh.plnk/12.34", content: "1" },
        dir(".wh..wh.orph"),
        { path: ".wh..wh.orph/x" },
        { path: ".wh..wh.aufs" },
        link("f", ".wh..wh.plnk/12.34"),
        link("g", ".wh..wh.plnk/12.34"),
        dir("d"),
        dir("d/.wh..wh.plnk"),
      ],
      expected: ["d/", "f=1", "g=1"],
    },
    {
      name: "takes a directory that is named as a whiteout for one, with what is in it",
      members: [dir("d"), dir("d/.wh.gone"), { path: "d/.wh.gone/x" }],
      expected: ["d/", "d/gone!"],
      root: true,
    },
    {
      name: "leaves a device out that would be taken for a whiteout",
      members: [dir("etc"), { path: "etc/passwd", type: "char" }, { path: "etc/new" }],
      expected: ["etc/", "etc/new="],
    },
    {
      name: "steps over a root that is no directory",
      members: [{ path: "" }, { path: "./" }, symlink("/", "x"), { path: ".", content: "1" }, { path: "f" }],
      expected: ["f="],
    },
  ];
  test.each(cases.filter((item) => isRoot || item.root !== true))("$name", async ({ members, expected }) => {
    expect(shape(await unpackTo("to", members))).toEqual(expected);
  });

  test.each([
    { name: "a path that climbs out", members: [{ path: "../x" }], code: "archive/unsafe-path" },
    { name: "a path that climbs out later", members: [{ path: "a/../../x" }], code: "archive/unsafe-path" },
    { name: "a hard link that climbs out", members: [link("x", "../../etc/passwd")], code: "archive/unsafe-path" },
    { name: "a hard link to nothing", members: [link("x", "etc/passwd")], code: "archive/malformed" },
    {
      name: "a hard link through a symlink to the host",
      members: [symlink("etc", "/etc"), link("x", "etc/passwd")],
      code: "archive/malformed",
    },
    { name: "a hard link to a directory", members: [dir("d"), link("x", "d")], code: "archive/malformed" },
    { name: "a file as a directory", members: [{ path: "f" }, { path: "f/x" }], code: "archive/malformed" },
    {
      name: "symlinks in a circle",
      members: [symlink("a", "b"), symlink("b", "a"), { path: "a/x" }],
      code: "archive/malformed",
    },
    { name: "a whiteout of nothing", members: [{ path: ".wh." }], code: "archive/malformed" },
    { name: "a whiteout of the parent", members: [{ path: "d/.wh..." }], code: "archive/malformed" },
  ])("refuses $name", async ({ members, code }) => {
    await expect(unpackTo("to", members)).rejects.toMatchObject({ code });
  });

  test("never writes outside, whatever symlinks an archive plants", async () => {
    const name = fc.constantFrom("a", "b", "c");
    const target = fc.constantFrom("/", "..", "../..", "a", "b/c", "/tmp", "../outside", "/../../outside");
    const member: fc.Arbitrary<Member> = fc.oneof(
      fc.record({
        path: fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/")),
        content: fc.constant("x"),
      }),
      fc
        .tuple(fc.array(name, { minLength: 1, maxLength: 2 }), target)
        .map(([names, to]) => symlink(names.join("/"), to)),
      fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => dir(names.join("/"))),
      fc
        .tuple(name, fc.array(name, { minLength: 1, maxLength: 3 }))
        .map(([from, names]) => link(from, names.join("/"))),
    );
    const outside = fresh("outside");
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 8 }), async (members) => {
        const to = fresh(`to${(run += 1)}`);
        // Some of these archives are refused, which is as good.
        await unpackLayer(tarOf(members), { native, directory: to, marks: "trusted" }, signal).catch(() => undefined);
        expect(readdirSync(outside)).toEqual([]);
        expect(readdirSync(directory).toSorted()).toEqual(["outside", `to${run}`]);
        rmSync(to, { recursive: true, force: true });
      }),
      { numRuns: 150 },
    );
  });

  test("gives directories their time and mode after their files, and reports what it made up", async () => {
    const to = fresh("to");
    const members = [
      dir("d", { mode: 0o555, mtimeNs: 1_234_567_890_123_456_789n }),
      { path: "d/f" },
      { path: "e/f/g" },
    ];
    const result = await unpackLayer(tarOf(members), { native, directory: to, marks: "trusted" }, signal);
    expect(native.statat(-100, join(to, "d"))).toMatchObject({ mode: 0o40555, mtimeNs: 1_234_567_890_123_456_789n });
    expect(result.impliedDirectories).toEqual(["e", "e/f"]);
    expect(native.statat(-100, join(to, "e/f"))).toMatchObject({ mode: 0o40755, mtimeNs: 0n });
  });

  test.skipIf(!isRoot)("drops attributes that would forge overlay's marks", async () => {
    const forged = {
      "trusted.overlay.redirect": Buffer.from("/etc"),
      "user.overlay.opaque": Buffer.from("y"),
      "user.kept": Buffer.from("1"),
    };
    const to = await unpackTo("to", [dir("d", { xattrs: forged }), { path: "f", xattrs: forged }]);
    expect(native.listXattrs(-100, join(to, "d"))).toEqual(["user.kept"]);
    expect(native.listXattrs(-100, join(to, "f"))).toEqual(["user.kept"]);
  });

  test("of a plain archive gives .wh. names no meaning and files a fixed owner", async () => {
    const to = fresh("to");
    const owner = { kind: "fixed", uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 } as const;
    await unpackArchive(tarOf([{ path: ".wh.x", content: "1", uid: 4242 }]), { native, directory: to, owner }, signal);
    expect(shape(to)).toEqual([".wh.x=1"]);
    expect(native.statat(-100, join(to, ".wh.x")).uid).toBe(owner.uid);
  });

  test.each([
    { name: "too many members", limits: { maxEntries: 1 } },
    { name: "a file too large", limits: { maxFileBytes: 3 } },
    { name: "too many bytes", limits: { maxTotalBytes: 7 } },
  ])("stops at $name", async ({ limits }) => {
    const members = [
      { path: "a", content: "1234" },
      { path: "b", content: "5678" },
    ];
    const unpacked = unpackArchive(tarOf(members), { native, directory: fresh("to"), limits }, signal);
    await expect(unpacked).rejects.toMatchObject({ code: "archive/unsupported" });
  });

  test.skipIf(!isRoot)("says so when the disk is full", async () => {
    const to = fresh("to");
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", to]).status !== 0) {
      console.warn("tmpfs cannot be mounted here: a full disk is not tested");
      return;
    }
    try {
      for (const size of [100_000, 300_000]) {
        const unpacked = unpackArchive(
          tarOf([{ path: "f", content: "x".repeat(size) }]),
          { native, directory: to },
          signal,
        );
        await expect(unpacked).rejects.toMatchObject({ code: "store/full" });
      }
    } finally {
      spawnSync("umount", [to]);
    }
  });

  test("stops when aborted", async () => {
    const stop = new AbortController();
    async function* endless(): AsyncGenerator<Buffer, void> {
      for (let index = 0; ; index += 1) {
        if (index === 20) stop.abort(new Error("enough"));
        const whole = await bytesOf(tarOf([{ path: `f${index}` }]));
        yield whole.subarray(0, BLOCK);
      }
    }
    await expect(unpackArchive(endless(), { native, directory: fresh("to") }, stop.signal)).rejects.toThrow("enough");
  });

  test("keeps names that are not UTF-8", async () => {
    const path = decodeName(Buffer.from("a\xffb", "latin1"));
    const to = await unpackTo("to", [{ path, content: "1" }]);
    expect(readdirSync(to, { encoding: "buffer" })).toEqual([Buffer.from("a\xffb", "latin1")]);
  });
});
