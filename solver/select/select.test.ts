import { chmodSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { digestOf } from "../../lib/core/digest.ts";
import { AT_FDCWD, S_IFSOCK } from "../../lib/native/constants.ts";
import { runFileOp } from "../ops/file/run-file-op.ts";
import { stackView } from "../ops/file/stack-view.ts";
import { copyAction, FileBench, SKIP_UNLESS_ROOT } from "../ops/file/testing.ts";
import { escapePath } from "./listing.ts";
import { LocalSource, prunable } from "../sources/local/local-source.ts";
import { SourceNotFound } from "./not-found.ts";
import { select, type Selection } from "./select.ts";
import type { Selector } from "./selector.ts";

const CAPABILITY = Buffer.from("0100000200200000000000000000000000000000", "hex");
/** u::rw-,u:1234:r--,g::r--,m::r--,o::r-- */
const ACCESS_LIST = Buffer.from(
  "0200000001000600ffffffff02000400d204000004000400ffffffff10000400ffffffff20000400ffffffff",
  "hex",
);

const signal = new AbortController().signal;
const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

function copyOf(source: string, changes: Partial<Extract<Selector, { kind: "copy" }>> = {}): Selector {
  return { kind: "copy", source, wildcard: true, excludes: [], parents: false, ...changes };
}

async function choose(bench: FileBench, selector: Selector, excludes: readonly string[] = []): Promise<Selection> {
  const { native, context: directory } = bench;
  using source = new LocalSource({ native, directory, index: { load: () => undefined, save: () => {} }, nowNs });
  return await select(source.view(excludes), selector, signal);
}

function paths(selection: Selection): string[] {
  return selection.listing
    .split("\n")
    .filter(Boolean)
    .map((line) => line.split("\t")[0] ?? "");
}

describe.skipIf(SKIP_UNLESS_ROOT !== false)("a selection", () => {
  test("lists each file with all that counts, and is named by the list", async () => {
    using bench = new FileBench();
    bench.plantContext(["f d/a 640 5:6 =text", "l d/l a", "d d/s 700", "c d/n 1:3", "p d/p"]);
    const selection = await choose(bench, copyOf("d"));
    expect(selection.listing.split("\n")).toEqual([
      "./\td",
      `a\tf\t0640\t0\t0\t4\t${digestOf("text")}`,
      "l\tl\t0777\t0\t0\t0\ta",
      "n\tc\t0600\t0\t0\t0\t1:3",
      "p\tp\t0644\t0\t0\t0\t-",
      "s\td\t0700\t0\t0\t0\t-",
      "",
    ]);
    expect(selection.digest).toBe(digestOf(selection.listing));
  });

  test("of one tree has this digest: a change throws away every user's cache", async () => {
    using bench = new FileBench();
    bench.plantContext(["f a =1", "f d/b 755 =2", "l d/l ../a"]);
    const { digest } = await choose(bench, copyOf(""));
    expect(digest).toBe("sha256:ded20855a3a9a672fb70be2b90db4b471cb6649ebd57df5649d6bf19a218026f");
  });

  test.each<{
    readonly name: string;
    readonly change: (context: string, bench: FileBench) => void;
    readonly counts: boolean;
  }>([
    { name: "another mtime", change: (at) => utimesSync(join(at, "d/a"), 1, 1), counts: false },
    {
      name: "another owner on the client",
      change: (at, b) => b.native.fchownat(AT_FDCWD, join(at, "d/a"), 9, 9),
      counts: false,
    },
    {
      name: "another name of the source's directory",
      change: (at, b) => b.native.renameat(AT_FDCWD, join(at, "d"), AT_FDCWD, join(at, "e")),
      counts: false,
    },
    { name: "the source directory's own mode", change: (at) => chmodSync(join(at, "d"), 0o700), counts: false },
    { name: "a file outside of the selection", change: (at) => writeFileSync(join(at, "other"), "x"), counts: false },
    { name: "content", change: (at) => writeFileSync(join(at, "d/a"), "2"), counts: true },
    { name: "a mode", change: (at) => chmodSync(join(at, "d/a"), 0o755), counts: true },
    { name: "a new file", change: (at) => writeFileSync(join(at, "d/new"), ""), counts: true },
    {
      name: "a file's name",
      change: (at, b) => b.native.renameat(AT_FDCWD, join(at, "d/a"), AT_FDCWD, join(at, "d/b")),
      counts: true,
    },
    {
      name: "an extended attribute",
      change: (at, b) => b.native.setXattr(AT_FDCWD, join(at, "d/a"), "user.x", Buffer.from("1")),
      counts: true,
    },
    { name: "a directory inside", change: (at) => chmodSync(join(at, "d/s"), 0o700), counts: true },
    {
      name: "an access control list",
      change: (at, b) => b.native.setXattr(AT_FDCWD, join(at, "d/a"), "system.posix_acl_access", ACCESS_LIST),
      counts: true,
    },
    {
      name: "a list for what will be made inside",
      change: (at, b) => b.native.setXattr(AT_FDCWD, join(at, "d/s"), "system.posix_acl_default", ACCESS_LIST),
      counts: true,
    },
    {
      name: "a file capability of the client's, which is not copied",
      change: (at, b) => b.native.setXattr(AT_FDCWD, join(at, "d/a"), "security.capability", CAPABILITY),
      counts: false,
    },
    {
      name: "a label of the host's, which is not copied",
      change: (at, b) => b.native.setXattr(AT_FDCWD, join(at, "d/a"), "trusted.label", Buffer.from("1")),
      counts: false,
    },
  ])("$name counts: $counts", async ({ change, counts }) => {
    using bench = new FileBench();
    bench.plantContext(["f d/a =1", "d d/s"]);
    const before = await choose(bench, copyOf("d*"));
    change(bench.context, bench);
    const after = await choose(bench, copyOf("[de]"));
    expect(after.digest !== before.digest).toBe(counts);
  });

  test("an empty directory is not the same as nothing", async () => {
    using bench = new FileBench();
    bench.plantContext(["d d"]);
    expect((await choose(bench, copyOf("d*"))).digest).not.toBe((await choose(bench, copyOf("x*"))).digest);
  });

  test.each<{ readonly name: string; readonly change: (context: string, bench: FileBench) => void }>([
    {
      name: "a file capability",
      change: (at, b) => b.native.setXattr(AT_FDCWD, join(at, "d/a"), "security.capability", CAPABILITY),
    },
    {
      name: "a socket",
      change: (at, b) => b.native.mknodat(AT_FDCWD, join(at, "d/socket"), S_IFSOCK | 0o644),
    },
  ])("a path selector counts $name", async ({ change }) => {
    using bench = new FileBench();
    bench.plantContext(["f d/a"]);
    const before = await choose(bench, { kind: "path", source: "d" });
    change(bench.context, bench);
    expect((await choose(bench, { kind: "path", source: "d" })).digest).not.toBe(before.digest);
  });

  test("a path selector counts the directory itself, for bind mounts", async () => {
    using bench = new FileBench();
    bench.plantContext(["f d/a"]);
    const before = await choose(bench, { kind: "path", source: "d" });
    chmodSync(join(bench.context, "d"), 0o700);
    expect((await choose(bench, { kind: "path", source: "d" })).digest).not.toBe(before.digest);
  });

  test.each([
    {
      name: "a directory by name",
      excludes: ["node_modules"],
      leaves: ["a", "src", "src/b", "src/node_modules", "src/node_modules/y"],
    },
    { name: "a name anywhere", excludes: ["**/node_modules"], leaves: ["a", "src", "src/b"] },
    { name: "all but one", excludes: ["*", "!src/b"], leaves: ["src", "src/b"] },
    {
      name: "a file taken back below an excluded directory",
      excludes: ["node_modules", "!node_modules/x"],
      leaves: ["a", "node_modules", "node_modules/x", "src", "src/b", "src/node_modules", "src/node_modules/y"],
    },
    { name: "taken back and excluded again", excludes: ["*", "!src", "src/node_modules"], leaves: ["src", "src/b"] },
    { name: "everything", excludes: ["**"], leaves: [] },
  ])("an ignore file excludes $name", async ({ excludes, leaves }) => {
    using bench = new FileBench();
    bench.plantContext(["f a", "f node_modules/x", "f src/b", "f src/node_modules/y"]);
    expect(paths(await choose(bench, copyOf(""), excludes)).slice(1)).toEqual(leaves);
  });

  test.each([
    { patterns: ["a", "b/c", "**/d", "e/**"], prunePaths: ["a", "b/c", "e"], pruneNames: ["d"] },
    { patterns: ["a", "!a/b", "c"], prunePaths: ["c"], pruneNames: [] },
    { patterns: ["*.o", "a?", "..", "/", "**"], prunePaths: [], pruneNames: [] },
    { patterns: ["a", "!b"], prunePaths: [], pruneNames: [] },
  ])("what $patterns lets a scan pass over", ({ patterns, prunePaths, pruneNames }) => {
    expect(prunable(patterns)).toEqual({ prunePaths, pruneNames });
  });

  test("a missing source names what is close, or the pattern that excludes it", async () => {
    using bench = new FileBench();
    bench.plantContext(["f package.json", "f dist/app.js", "f src/main.ts"]);
    const failure = async (source: string, excludes: readonly string[]): Promise<SourceNotFound> => {
      try {
        await choose(bench, copyOf(source), excludes);
      } catch (error) {
        if (error instanceof SourceNotFound) return error;
        throw error;
      }
      throw new Error("It was found");
    };
    const typo = await failure("packge.json", []);
    expect(typo.message).toBe(`Cannot copy "packge.json" from ${bench.context}: it does not exist`);
    expect(typo.hint).toBe('there is "package.json"');
    const ignored = await failure("dist/app.js", ["*.log", "dist"]);
    expect(ignored.missing).toEqual({ path: "dist/app.js", excludedBy: 1, similar: expect.any(Array) as unknown });
    expect(ignored.message).toMatch(/the ignore file excludes it/);
    expect((await failure("src/mian.ts", [])).missing.similar).toEqual(["src/main.ts"]);
  });

  test.each([
    {
      source: "dang",
      says: /"dang" from .*: it is a link to "nowhere", and there is nothing$/,
      hint: /directory it is in/,
    },
    { source: "dang/x", says: /"dang\/x" from .*: "dang" is a link to "nowhere", and/, hint: /directory it is in/ },
    { source: "again", says: /it is a link to "dang", and/, hint: /directory it is in/ },
    {
      source: "out",
      says: /it is a link to "\/etc\/passwd", and/,
      hint: /inside .*, where this one means "etc\/passwd"/,
    },
    { source: "d/up", says: /it is a link to "..\/..\/x", and/, hint: /where this one means "x"/ },
    {
      source: "hidden",
      says: /it is a link to "ignored", which the ignore file excludes/,
      hint: /take "ignored" back/,
    },
    { source: "axb", says: /"axb" from .*: it does not exist/, hint: /there is "a\\xffb"; a name that is not UTF-8/ },
  ])("a link to nowhere at $source is told as one", async ({ source, says, hint }) => {
    using bench = new FileBench();
    bench.plantContext(["l dang nowhere", "l again dang", "l out /etc/passwd", "l d/up ../../x", "l hidden ignored"]);
    writeFileSync(join(bench.context, "ignored"), "");
    writeFileSync(Buffer.concat([Buffer.from(`${bench.context}/a`), Buffer.of(0xff), Buffer.from("b")]), "");
    await expect(choose(bench, copyOf(source), ["ignored"])).rejects.toMatchObject({
      code: "solver/not-found",
      message: expect.stringMatching(says) as string,
      hint: expect.stringMatching(hint) as string,
    });
  });

  test("a missing source of a bind mount is not said to be copied", async () => {
    using bench = new FileBench();
    bench.plantContext(["f package.json"]);
    await expect(choose(bench, { kind: "path", source: "nope" })).rejects.toThrow(`Cannot mount "nope" from`);
  });

  test("a source missing from a context without files names no folder that the user never saw", async () => {
    using bench = new FileBench();
    bench.plantContext([]);
    await expect(choose(bench, copyOf("a"), [])).rejects.toMatchObject({
      message: 'Cannot copy "a": there are no files to copy',
      hint: expect.stringContaining("-f - DIRECTORY") as unknown,
    });
  });

  test("a context that is not there is named", async () => {
    using bench = new FileBench();
    const directory = join(bench.root, "nowhere");
    using source = new LocalSource({
      native: bench.native,
      directory,
      index: { load: () => undefined, save: () => {} },
      nowNs,
    });
    expect(() => source.view([])).toThrow(`Cannot read the build context ${directory}: there is no such directory`);
  });

  test("equal trees of different layers have equal selections", async () => {
    using bench = new FileBench();
    bench.layer(["f d/a =1", "f d/gone", "f d/b =old"]).layer(["w d/gone", "f d/b =2"]).layer(["f d/a =1", "f d/b =2"]);
    const [low = "", high = "", flat = ""] = bench.layers;
    const { native } = bench;
    using stacked = stackView({ native, directories: [high, low], marks: "trusted", name: "one" });
    using single = stackView({ native, directories: [flat], marks: "trusted", name: "two" });
    const selections = await Promise.all([stacked, single].map((view) => select(view, copyOf("d"), signal)));
    expect(selections[0]?.digest).toBe(selections[1]?.digest);
  });

  test.each([
    { name: "longer", planted: ["f a =1"], text: "22", source: "a" },
    { name: "of equal length", planted: ["f a =1"], text: "2", source: "a" },
    { name: "in a directory", planted: ["f d/x =x", "f d/a =1", "f d/z =z"], text: "2", source: "d" },
    { name: "with two names", planted: ["f d/a =1", "h d/b d/a"], text: "2", source: "d" },
  ])("a file that changes between its key and its copy ($name) gives the selection of what was copied", async (row) => {
    using bench = new FileBench();
    bench.plantContext(row.planted);
    const { native, context: directory, upper } = bench;
    const index = { load: () => undefined, save: () => {} };
    using source = new LocalSource({ native, directory, index, nowNs });
    const view = source.view([]);
    const selection = await select(view, copyOf(row.source), signal);
    const file = join(directory, row.source === "a" ? "a" : "d/a");
    writeFileSync(file, row.text);
    // As if its bytes had not been kept in memory.
    const contents = { digests: selection.contents.digests, kept: new Map() };
    const copies = await runFileOp(
      { kind: "file", base: "input", actions: [copyAction(row.source, "/x/")] },
      { directories: [upper], marks: "trusted", source: () => view, selected: () => ({ ...selection, contents }) },
      { native },
      signal,
    );
    using fresh = new LocalSource({ native, directory, index, nowNs });
    const now = await select(fresh.view([]), copyOf(row.source), signal);
    expect(copies.get(0)?.actual.listing).toBe(now.listing);
    expect(copies.get(0)?.actual.digest).toBe(now.digest);
    expect(now.digest).not.toBe(selection.digest);
  });

  test("large and small files are read alike", async () => {
    using bench = new FileBench();
    const large = Buffer.alloc(9 << 20, "large");
    const medium = Buffer.alloc(200_000, "m");
    writeFileSync(join(bench.context, "large"), large);
    for (let at = 0; at < 60; at += 1) writeFileSync(join(bench.context, `medium${at}`), medium);
    const { listing } = await choose(bench, copyOf(""));
    expect(listing).toContain(digestOf(large));
    expect(listing.split(digestOf(medium)).length).toBe(61);
  });
});

test.each([
  { path: "plain/ünï ✓", text: "plain/ünï ✓" },
  { path: "tab\tnew\nline\\", text: "tab\\u0009new\\u000aline\\u005c" },
  { path: "stray \udcff byte", text: "stray \\udcff byte" },
  { path: "𝄞 clef", text: "𝄞 clef" },
])("a path in a listing is written as $text", ({ path, text }) => {
  expect(escapePath(path)).toBe(text);
  expect(JSON.parse(`"${text}"`)).toBe(path);
});
