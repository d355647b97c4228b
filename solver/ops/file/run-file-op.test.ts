import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AT_FDCWD } from "../../../lib/native/constants.ts";
import type { FileAction, MkdirAction, MkfileAction } from "../../graph/op.ts";
import { LocalSource } from "../../sources/local/local-source.ts";
import { select, type Selection } from "../../select/select.ts";
import { copySelector } from "../../select/selector.ts";
import { isMovedSource } from "../../../lib/tree/moved-source.ts";
import { runFileOp } from "./run-file-op.ts";
import { copyAction, FileBench, PLANTED_NS, SKIP_UNLESS_ROOT } from "./testing.ts";

const mkdir = (path: string, changes: Partial<MkdirAction> = {}): MkdirAction => ({
  kind: "mkdir",
  path,
  mode: 0o755,
  owner: undefined,
  timestamp: undefined,
  ...changes,
});
const mkfile = (path: string, text: string, changes: Partial<MkfileAction> = {}): MkfileAction => ({
  kind: "mkfile",
  path,
  mode: 0o644,
  text,
  owner: undefined,
  timestamp: undefined,
  ...changes,
});
const rm = (path: string, missing: "error" | "ignore" = "error"): FileAction => ({ kind: "rm", path, missing });

const PLANTED_SECOND = PLANTED_NS - (PLANTED_NS % 1_000_000_000n);

describe.skipIf(SKIP_UNLESS_ROOT !== false)("file operations", () => {
  test.each<{
    readonly name: string;
    readonly layers?: readonly (readonly string[])[];
    readonly actions: readonly FileAction[];
    readonly makes: readonly string[];
  }>([
    {
      name: "WORKDIR makes a directory with its parents",
      actions: [mkdir("/a/b")],
      makes: ["d a 755 0:0", "d a/b 755 0:0"],
    },
    {
      name: "WORKDIR gives what it makes to the user",
      layers: [["f etc/passwd =me:x:7:8::/:/bin/sh\n", "d a 711"]],
      actions: [mkdir("/a/b/c", { owner: { user: "me", group: undefined } })],
      makes: ["d a 711 0:0", "d a/b 755 7:8", "d a/b/c 755 7:8"],
    },
    {
      name: "WORKDIR of a directory that exists changes nothing",
      layers: [["d a 711 3:4"]],
      actions: [mkdir("/a")],
      makes: [],
    },
    {
      name: "WORKDIR follows symlinks inside the root",
      layers: [["d t/sub", "l t/ls sub"]],
      actions: [mkdir("/t/ls/wd")],
      makes: ["d t 755 0:0", "d t/sub 755 0:0", "d t/sub/wd 755 0:0"],
    },
    {
      name: "WORKDIR below a setgid directory",
      layers: [["d g 2775 7:33"]],
      actions: [mkdir("/g/a/b"), mkdir("/g/u", { owner: { user: "5", group: undefined } })],
      makes: ["d g 2775 7:33", "d g/a 2755 0:33", "d g/a/b 2755 0:33", "d g/u 2755 5:5"],
    },
    { name: "a file from text", actions: [mkfile("/x", "héllo\n", { mode: 0o600 })], makes: ["f x 600 0:0 =héllo\n"] },
    {
      name: "a file over a lower file",
      layers: [["f x 777"]],
      actions: [mkfile("/x", "new")],
      makes: ["f x 644 0:0 =new"],
    },
    { name: "a lower file removed", layers: [["f d/x"]], actions: [rm("/d/x")], makes: ["d d 755 0:0", "w d/x"] },
    {
      name: "a lower directory removed",
      layers: [["f d/x/y"]],
      actions: [rm("/d/x")],
      makes: ["d d 755 0:0", "w d/x"],
    },
    { name: "a file of this step removed", actions: [mkfile("/x", "1"), rm("/x")], makes: [] },
    {
      name: "a removed directory made again is opaque",
      layers: [["f d/x"]],
      actions: [rm("/d"), mkdir("/d")],
      makes: ["o d 755 0:0"],
    },
    {
      name: "a removed file made again",
      layers: [["f x =old"]],
      actions: [rm("/x"), mkfile("/x", "new")],
      makes: ["f x 644 0:0 =new"],
    },
    {
      name: "what is removed already needs no whiteout",
      layers: [["f x"], ["w x"]],
      actions: [rm("/x", "ignore")],
      makes: [],
    },
    { name: "a symlink is removed, not its target", layers: [["f t", "l s t"]], actions: [rm("/s")], makes: ["w s"] },
    { name: "a missing path that may be missing", actions: [rm("/nope", "ignore")], makes: [] },
  ])("$name", async ({ layers = [], actions, makes }) => {
    using bench = new FileBench();
    for (const layer of layers) bench.layer(layer);
    expect(await bench.run(actions)).toEqual(makes);
  });

  test.each([
    { name: "a missing path", actions: [rm("/nope")], error: /Cannot remove "\/nope": it does not exist/ },
    { name: "a directory where a file is", actions: [mkfile("/x", ""), mkdir("/x")], error: /a file has its name/ },
    {
      name: "a file in a directory that is not there",
      actions: [mkfile("/no/x", "")],
      error: /its directory does not exist/,
    },
  ])("refuses $name", async ({ actions, error }) => {
    using bench = new FileBench();
    await expect(bench.run(actions)).rejects.toThrow(error);
  });

  test("a step that works in a plain directory removes for real", async () => {
    using bench = new FileBench();
    expect(await bench.run([mkfile("/a", "1"), mkdir("/d"), rm("/a")])).toEqual(["d d 755 0:0"]);
  });
});

describe.skipIf(SKIP_UNLESS_ROOT !== false)("COPY --from", () => {
  const kept = { keepOwner: true };

  test("keeps owners and sees the stage's layers as one tree", async () => {
    using bench = new FileBench();
    bench.source(["f d/gone", "f d/old =1", "d d/hidden", "f d/hidden/x"]);
    bench.source(["w d/gone", "f d/old 600 5:6 =2", "o d/hidden 711 7:7", "f d/hidden/y"]);
    expect(await bench.run([copyAction("d", "/n", kept)])).toEqual([
      "d n 755 0:0",
      "d n/hidden 711 7:7",
      "f n/hidden/y 644 0:0 =d/hidden/y",
      "f n/old 600 5:6 =2",
    ]);
  });

  test("a whiteout over a matched file is a missing file", async () => {
    using bench = new FileBench();
    bench.source(["f a"]).source(["w a"]);
    await expect(bench.run([copyAction("a", "/x", kept)])).rejects.toThrow(/Cannot copy "a" from stage/);
  });

  test("never leaves the stage's root, whatever its symlinks say", async () => {
    using bench = new FileBench();
    bench.source(["l etc ../../../../../../../etc", "l up ..", "l abs /"]);
    for (const source of ["etc/hostname", "up/up/up/etc/hostname", "abs/etc/hostname"]) {
      await expect(bench.run([copyAction(source, "/x", kept)])).rejects.toThrow(/Cannot (copy|follow)/);
    }
  });

  test("file capabilities of the client's stay there, and so do labels of the host's", async () => {
    using bench = new FileBench();
    bench.plantContext(["f d/a 4755"]);
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    for (const [key, value] of [
      ["user.note", Buffer.from("hi")],
      ["security.capability", capability],
      ["trusted.label", Buffer.from("hi")],
      ["security.label", Buffer.from("hi")],
    ] as const) {
      bench.native.setXattr(AT_FDCWD, join(bench.context, "d/a"), key, value);
    }
    const chown = { owner: { user: "5", group: undefined } };
    expect(await bench.run([copyAction("d", "/n"), copyAction("d", "/m", chown)])).toEqual([
      "d m 755 5:5",
      "f m/a 4755 5:5 =d/a",
      "d n 755 0:0",
      "f n/a 4755 0:0 =d/a",
    ]);
    for (const path of ["n/a", "m/a"]) {
      expect(bench.native.listXattrs(AT_FDCWD, join(bench.upper, path))).toEqual(["user.note"]);
    }
  });

  test("carries attributes and file capabilities, but never overlay marks", async () => {
    using bench = new FileBench();
    bench.source(["f lower/x", "f d/x"]).source(["f d/a 755", "o d/o", "f d/o/y"]);
    const [, upper = ""] = bench.sources;
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    bench.native.setXattr(AT_FDCWD, join(upper, "d/a"), "user.note", Buffer.from("hi"));
    bench.native.setXattr(AT_FDCWD, join(upper, "d/a"), "security.capability", capability);
    expect(await bench.run([copyAction("d", "/n", kept)])).toEqual([
      "d n 755 0:0",
      "f n/a 755 0:0 =d/a",
      "d n/o 755 0:0",
      "f n/o/y 644 0:0 =d/o/y",
      "f n/x 644 0:0 =d/x",
    ]);
    expect(bench.native.getXattr(AT_FDCWD, join(bench.upper, "n/a"), "user.note")?.toString()).toBe("hi");
    expect(bench.native.getXattr(AT_FDCWD, join(bench.upper, "n/a"), "security.capability")).toEqual(capability);
  });
});

describe.skipIf(SKIP_UNLESS_ROOT !== false)("times", () => {
  const mtime = (bench: FileBench, path: string): bigint =>
    bench.native.statat(AT_FDCWD, join(bench.upper, path)).mtimeNs;

  test("files, links and directories keep theirs, in whole seconds as a layer has them", async () => {
    using bench = new FileBench();
    bench.plantContext(["f d/a", "l d/l a", "d d/s", "f d/s/b", "p d/p"]);
    await bench.run([copyAction("d", "/x/n")]);
    for (const path of ["x/n", "x/n/a", "x/n/l", "x/n/s", "x/n/s/b", "x/n/p"]) {
      expect(mtime(bench, path)).toBe(PLANTED_SECOND);
    }
    expect(mtime(bench, "x")).toBeGreaterThan(PLANTED_NS);
    expect(mtime(bench, "x") % 1_000_000_000n).toBe(0n);
  });

  test("a directory that something is put into keeps its time", async () => {
    using bench = new FileBench();
    bench.layer(["d etc/sub"]).plantContext(["f a"]);
    await bench.run([copyAction("a", "/etc/sub/x")]);
    expect(mtime(bench, "etc")).toBe(PLANTED_SECOND);
    expect(mtime(bench, "etc/sub")).toBe(PLANTED_SECOND);
  });

  test("a timestamp is that of the directories and files that are made, and no copy's", async () => {
    using bench = new FileBench();
    bench.plantContext(["f d/a"]);
    await bench.run([mkdir("/w/x", { timestamp: 42 }), mkfile("/w/f", "", { timestamp: 42 }), copyAction("d", "/w/x")]);
    for (const path of ["w", "w/f"]) expect(mtime(bench, path)).toBe(42_000_000_000n);
    for (const path of ["w/x", "w/x/a"]) expect(mtime(bench, path)).toBe(PLANTED_SECOND);
  });
});

describe.skipIf(SKIP_UNLESS_ROOT !== false)("ADD of an archive that changes after it was selected", () => {
  const { signal } = new AbortController();
  const archive = (bench: FileBench, name: string, text: string, ...flags: readonly string[]): Buffer => {
    writeFileSync(join(bench.root, name), text);
    const made = spawnSync("tar", ["-c", ...flags, "-C", bench.root, name]);
    expect(made.status).toBe(0);
    return made.stdout;
  };
  const add = async (bench: FileBench, now: Buffer): Promise<readonly [Selection, Selection | undefined]> => {
    const { native, context: directory, upper } = bench;
    const index = { load: () => undefined, save: () => {} };
    const action = copyAction("a.tar", "/x/", { unpack: "auto" });
    using local = new LocalSource({ native, directory, index, nowNs: () => 0n });
    const selection = await select(local.view([]), copySelector(action), signal);
    writeFileSync(join(directory, "a.tar"), now);
    const copies = await runFileOp(
      { kind: "file", base: "input", actions: [action] },
      { directories: [upper], marks: "trusted", source: () => local.view([]), selected: () => selection },
      { native },
      signal,
    );
    using fresh = new LocalSource({ native, directory, index, nowNs: () => 0n });
    return [await select(fresh.view([]), copySelector(action), signal), copies.get(0)?.actual];
  };

  test.each([
    { name: "plain", flags: [] },
    { name: "compressed", flags: ["-z"] },
  ])("$name: what was unpacked is what it is keyed by", async ({ flags }) => {
    using bench = new FileBench();
    writeFileSync(join(bench.context, "a.tar"), archive(bench, "one", "one", ...flags));
    const [now, actual] = await add(bench, archive(bench, "two", "two", ...flags));
    expect(actual?.listing).toBe(now.listing);
    expect(readdirSync(join(bench.upper, "x"))).toEqual(["two"]);
  });

  test("half of a new one is looked at again, and is no broken archive", async () => {
    using bench = new FileBench();
    writeFileSync(join(bench.context, "a.tar"), archive(bench, "one", "one"));
    const half = archive(bench, "two", "2".repeat(5000)).subarray(0, 2000);
    const failed = add(bench, half).catch((error: unknown) => error);
    expect(isMovedSource(await failed)).toBe(true);
  });
});

describe.skipIf(SKIP_UNLESS_ROOT !== false)("ADD of an archive", () => {
  const unpack = { unpack: "auto", keepOwner: true } as const;

  /** A tar made by GNU tar from planted files, as `name` in the context. */
  function archive(bench: FileBench, name: string, lines: readonly string[], flags: readonly string[] = []): void {
    const inner = new FileBench();
    try {
      inner.plantContext(lines);
      const made = spawnSync("tar", [
        "-C",
        inner.context,
        ...flags,
        "--sort=name",
        "-cf",
        join(bench.context, name),
        ".",
      ]);
      if (made.status !== 0) throw new Error(made.stderr.toString());
    } finally {
      inner[Symbol.dispose]();
    }
  }

  test.each([
    { name: "plain", flags: [] },
    { name: "gzip", flags: ["-z"] },
    { name: "xz", flags: ["-J"] },
    { name: "bzip2", flags: ["-j"] },
  ])("a $name tar goes into the destination", async ({ flags }) => {
    using bench = new FileBench();
    archive(bench, "a.bin", ["f d/a 600 5:6", "l d/l a", "h d/h d/a"], flags);
    expect(await bench.run([copyAction("a.bin", "/n", unpack)])).toEqual([
      "d n 755 0:0",
      "d n/d 755 0:0",
      "f n/d/a 600 5:6 =d/a",
      "h n/d/h n/d/a",
      "l n/d/l a 0:0",
    ]);
  });

  test("replaces files by directories and directories by files, and keeps what else is there", async () => {
    using bench = new FileBench();
    bench.layer(["f n/x", "f n/y/z", "f n/keep", "f n/d/lower"]);
    archive(bench, "a.tar", ["f x/inside", "f y", "d d 700", "f d/upper"]);
    expect(await bench.run([copyAction("a.tar", "/n/", unpack)])).toEqual([
      "d n 755 0:0",
      "d n/d 700 0:0",
      "f n/d/upper 644 0:0 =d/upper",
      "o n/x 755 0:0",
      "f n/x/inside 644 0:0 =x/inside",
      "f n/y 644 0:0 =y",
    ]);
  });

  test("a directory of the archive replaces a symlink, but one it only implies follows it below the destination", async () => {
    using bench = new FileBench();
    bench.layer(["d real", "l lnk /real", "l n/lnk /real"]);
    archive(bench, "own.tar", ["f lnk/f"]);
    expect(await bench.run([copyAction("own.tar", "/", unpack)])).toEqual(["o lnk 755 0:0", "f lnk/f 644 0:0 =lnk/f"]);
    using other = new FileBench();
    other.layer(["d real", "l n/lnk /real"]);
    other.plantContext(["f src/lnk/f"]);
    spawnSync("tar", ["-C", join(other.context, "src"), "-cf", join(other.context, "implied.tar"), "lnk/f"]);
    const chown = { ...unpack, owner: { user: "7", group: undefined } };
    expect(await other.run([copyAction("implied.tar", "/n", chown)])).toEqual([
      "d n 755 0:0",
      "d n/real 755 0:0",
      "f n/real/f 644 7:7 =src/lnk/f",
    ]);
  });

  test("directories of the archive bring their attributes", async () => {
    using bench = new FileBench();
    bench.layer(["d n/old"]);
    bench.plantContext(["d src/old", "d src/new"]);
    for (const name of ["old", "new"]) {
      bench.native.setXattr(AT_FDCWD, join(bench.context, "src", name), "user.note", Buffer.from(name));
    }
    spawnSync("tar", ["--xattrs", "-C", join(bench.context, "src"), "-cf", join(bench.context, "a.tar"), "."]);
    await bench.run([copyAction("a.tar", "/n", unpack)]);
    for (const name of ["old", "new"]) {
      expect(bench.native.getXattr(AT_FDCWD, join(bench.upper, "n", name), "user.note")?.toString()).toBe(name);
    }
  });

  test("into a setgid directory", async () => {
    using bench = new FileBench();
    bench.layer(["d g 2775 7:33"]);
    archive(bench, "a.tar", ["f x/f"]);
    bench.plantContext(["f src/y/z/f"]);
    spawnSync("tar", ["-C", join(bench.context, "src"), "-cf", join(bench.context, "implied.tar"), "y/z/f"]);
    const into = { ...unpack, excludes: [] };
    expect(await bench.run([copyAction("a.tar", "/g/n", into), copyAction("implied.tar", "/g", into)])).toEqual([
      "d g 2775 7:33",
      "d g/n 2755 0:33",
      "d g/n/x 755 0:0",
      "f g/n/x/f 644 0:0 =x/f",
      "d g/y 2755 0:33",
      "d g/y/z 2755 0:33",
      "f g/y/z/f 644 0:0 =src/y/z/f",
    ]);
  });

  test("--chown counts for all entries", async () => {
    using bench = new FileBench();
    archive(bench, "a.tar", ["f d/a 600 5:6"]);
    const chown = { ...unpack, owner: { user: "7", group: "8" } };
    expect(await bench.run([copyAction("a.tar", "/n", chown)])).toEqual([
      "d n 755 7:8",
      "d n/d 755 7:8",
      "f n/d/a 600 7:8 =d/a",
    ]);
  });

  test("what is no archive is copied", async () => {
    using bench = new FileBench();
    bench.plantContext(["f a.tar =not a tar", "f empty.tar =", "f d/x"]);
    writeFileSync(join(bench.context, "b.gz"), spawnSync("gzip", ["-c"], { input: "text" }).stdout);
    const found = await bench.run([
      copyAction("a.tar", "/n/", unpack),
      copyAction("empty.tar", "/n/", unpack),
      copyAction("b.gz", "/n/", unpack),
      copyAction("d", "/n/", unpack),
    ]);
    expect(found.map((line) => line.split(" ")[1])).toEqual(["n", "n/a.tar", "n/b.gz", "n/empty.tar", "n/x"]);
  });

  test.each([
    { name: "garbage behind gzip", of: (tar: Buffer) => Buffer.concat([gzipSync(tar), Buffer.from("?")]) },
    { name: "a compression that is cut behind the archive", of: (tar: Buffer) => gzipSync(tar).subarray(0, -4) },
    {
      name: "a wrong checksum of the compression",
      of: (tar: Buffer) => Buffer.concat([gzipSync(tar).subarray(0, -8), Buffer.alloc(8)]),
    },
    { name: "garbage behind the archive", of: (tar: Buffer) => Buffer.concat([tar, Buffer.from("?")]) },
  ])("$name: the archive is whole", async ({ of }) => {
    using bench = new FileBench();
    archive(bench, "a", ["f x"]);
    writeFileSync(join(bench.context, "a"), of(readFileSync(join(bench.context, "a"))));
    expect(await bench.run([copyAction("a", "/n/", unpack)])).toEqual(["d n 755 0:0", "f n/x 644 0:0 =x"]);
  });

  test.each([
    { name: "owner", at: 108, bytes: "0000089\0" },
    { name: "time", at: 136, bytes: "-0000000001\0" },
  ])("a file with no number as $name in its first header is no archive", async ({ at, bytes }) => {
    using bench = new FileBench();
    archive(bench, "a", ["f x"]);
    const tar = readFileSync(join(bench.context, "a"));
    tar.write(bytes, at, "latin1");
    const sum = tar
      .subarray(0, 512)
      .reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0);
    tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    writeFileSync(join(bench.context, "a"), tar);
    const found = await bench.run([copyAction("a", "/n/", unpack)]);
    expect(found.map((line) => line.split(" ")[1])).toEqual(["n", "n/a"]);
  });

  test.each(["--mtime=@-86400", "--mtime=@99999999999"])(
    "with %s: times that docker cannot hold are the epoch",
    async (time) => {
      using bench = new FileBench();
      archive(bench, "a.tar", ["f x", "d d"], ["--format=pax", time]);
      await bench.run([copyAction("a.tar", "/n/", unpack)]);
      for (const name of ["x", "d"])
        expect(bench.native.statat(AT_FDCWD, join(bench.upper, "n", name)).mtimeNs).toBe(0n);
    },
  );

  test("--unpack refuses what is no archive", async () => {
    using bench = new FileBench();
    bench.plantContext(["f a =not a tar"]);
    await expect(bench.run([copyAction("a", "/n", { unpack: "always" })])).rejects.toThrow(/not a tar archive/);
  });

  test("COPY leaves archives alone", async () => {
    using bench = new FileBench();
    archive(bench, "a.tar", ["f x"]);
    const found = await bench.run([copyAction("a.tar", "/n/")]);
    expect(found.map((line) => line.split(" ")[1])).toEqual(["n", "n/a.tar"]);
  });

  test.each([
    { name: "the device of a whiteout", lines: ["c etc/passwd"], says: /"\/n\/etc\/passwd".*0:0/ },
    { name: "the name of a whiteout", lines: ["f etc/.wh.passwd"], says: /"\/n\/etc\/\.wh\.passwd".*deleted/ },
    { name: "a directory with the name of one", lines: ["d .wh.etc"], says: /"\/n\/\.wh\.etc".*deleted/ },
  ])("refuses $name", async ({ lines, says }) => {
    using bench = new FileBench();
    bench.layer(["f n/etc/passwd"]);
    archive(bench, "a.tar", lines);
    const added = bench.run([copyAction("a.tar", "/n", unpack)]);
    await expect(added).rejects.toMatchObject({
      code: "image/reserved",
      message: expect.stringMatching(says) as string,
    });
  });

  test("a symlink in the archive sends nothing outside", async () => {
    using bench = new FileBench();
    const inner = join(bench.root, "inner");
    spawnSync("sh", ["-c", `mkdir -p ${inner} && cd ${inner} && ln -s / root && tar -cf ${bench.context}/a.tar root`]);
    spawnSync("sh", [
      "-c",
      `cd ${inner} && rm root && mkdir root && echo x > root/escaped && tar -rf ${bench.context}/a.tar root/escaped`,
    ]);
    const found = await bench.run([copyAction("a.tar", "/n/", unpack)]).catch((error: unknown) => String(error));
    // Whether refused or resolved inside, nothing may be made in the machine's own root.
    const { existsSync } = process.getBuiltinModule("node:fs");
    expect(existsSync("/escaped")).toBe(false);
    expect(String(found)).not.toBe("");
  });
});
