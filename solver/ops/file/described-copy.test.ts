import { execFileSync } from "node:child_process";
import { appendFileSync, closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdirSync, symlinkSync, utimesSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { digestOf } from "../../../lib/core/digest.ts";
import { AT_FDCWD } from "../../../lib/native/constants.ts";
import type { KeptBytes } from "../../../lib/native/native.ts";
import { type LayerMeasure, measureLayer } from "../../../lib/tar/measure.ts";
import { type LayerDescription, writeLayer } from "../../../lib/tar/write-layer.ts";
import type { CopyAction, FileOp } from "../../graph/op.ts";
import { LocalSource } from "../../sources/local/local-source.ts";
import { select } from "../../select/select.ts";
import { copySelector } from "../../select/selector.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import { describeCopy } from "./described-copy.ts";
import { runFileOp } from "./run-file-op.ts";
import { stackView } from "./stack-view.ts";
import { copyAction, FileBench, SKIP_UNLESS_ROOT } from "./testing.ts";

const { signal } = new AbortController();
const FILES = 60;
/** Stands in for the number of files from which on a build describes copies. */
const MIN_FILES = 50;
const NOW_NS = 1_700_000_000_000_000_000n;

/** Small files in `src/many`. */
function plantMany(directory: string, count = FILES): void {
  mkdirSync(join(directory, "src/many/deeper"), { recursive: true });
  for (let n = 0; n < count; n += 1) {
    writeFileSync(join(directory, `src/many/${n % 2 === 0 ? "deeper/" : ""}f${n}`), `file ${n}\n`.repeat(n % 7));
  }
}

interface Compared {
  /** Measure of the copy's files. */
  readonly made: LayerMeasure;
  /** Measure of the tar; `undefined` when the copy is not described. */
  readonly written: LayerMeasure | undefined;
}

/** Makes a copy both ways. `earlier` is the path of an earlier tar, `to` that of the new one. */
async function both(
  bench: FileBench,
  action: CopyAction,
  more: {
    readonly excludes?: readonly string[];
    readonly earlier?: string;
    readonly to?: string;
    readonly limits?: { readonly minFiles?: number };
  } = {},
): Promise<Compared> {
  const { native } = bench;
  const index = { load: () => undefined, save: () => {} };
  using local = new LocalSource({ native, directory: bench.context, index, nowNs: () => NOW_NS });
  const directories = bench.sources.length === 0 ? [bench.context] : bench.sources.toReversed();
  using stage = stackView({ native, directories, marks: "trusted", name: "stage" });
  const view = bench.sources.length === 0 ? local.view(more.excludes ?? []) : stage;
  const selection = await select(view, copySelector(action), signal);
  const op: FileOp = { kind: "file", base: "input", actions: [action] };
  const lowers = bench.layers.toReversed();
  rmSync(bench.upper, { recursive: true });
  mkdirSync(bench.upper);
  const inputs = { source: () => view, selected: () => selection };
  const failure = await runFileOp(
    op,
    { directories: [bench.upper, ...lowers], marks: "trusted", ...inputs },
    { native },
    signal,
  ).then(
    () => undefined,
    (error: unknown) => error,
  );
  makeNow(bench, action.destination);
  const made = await measureLayer(native, { directory: bench.upper, marks: "trusted" }, signal);
  using tree = new MergedTree({ native, directories: lowers.length === 0 ? [empty(bench)] : lowers, marks: "trusted" });
  using copy = describeCopy(op, { tree, view, selection, nowNs: NOW_NS, ...(more.limits ?? { minFiles: MIN_FILES }) });
  if (failure !== undefined) expect(copy).toBeUndefined();
  if (copy === undefined) return { made, written: undefined };
  const to = more.to ?? join(bench.root, "layer.tar");
  const fd = openSync(to, "w");
  try {
    // With an earlier tar, as where the index knew the files: none of their bytes are in memory.
    const layer = more.earlier === undefined ? copy : { ...copy, kept: nothingKept(copy) };
    return { made, written: await writeLayer(native, layer, { fd, earlier: more.earlier }, signal) };
  } finally {
    closeSync(fd);
  }
}

/** Gives the time of the description to the directories that a copy has made on its way. */
function makeNow({ upper, layers }: FileBench, destination: string): void {
  const now = new Date(Number(NOW_NS / 1_000_000n));
  const names = destination.split("/").filter((name) => name !== "");
  for (let count = names.length - 1; count > 0; count -= 1) {
    const path = names.slice(0, count).join("/");
    const isNew = existsSync(join(upper, path)) && !layers.some((layer) => existsSync(join(layer, path)));
    if (isNew) utimesSync(join(upper, path), now, now);
  }
}

function nothingKept({ kept }: LayerDescription): KeptBytes {
  return { bytes: Buffer.alloc(0), offsets: kept.offsets.map(() => -1) };
}

function empty(bench: FileBench): string {
  const path = join(bench.root, "empty");
  mkdirSync(path, { recursive: true });
  return path;
}

describe.skipIf(SKIP_UNLESS_ROOT)(`a copy that is written as a tar (${SKIP_UNLESS_ROOT || "root"})`, () => {
  const into = (destination: string, changes: Partial<CopyAction> = {}): CopyAction =>
    copyAction("src", destination, changes);

  test.each<{
    name: string;
    action: CopyAction;
    layers?: readonly (readonly string[])[];
    context?: readonly string[];
    excludes?: readonly string[];
  }>([
    { name: "goes to a new directory", action: into("/app/") },
    { name: "goes to the root", action: into("/"), layers: [["d many 700 5:6", "d etc"]] },
    { name: "goes to new directories, which are of now", action: into("/a/b/c") },
    {
      name: "goes to a directory that is there, with its owner and mode, and so are those above it",
      action: into("/srv/app"),
      layers: [["d srv 711 3:4", "d srv/app 1770 1:2", "f srv/app/kept", "f srv/other"]],
    },
    {
      name: "meets directories that are there, in several layers",
      action: into("/app"),
      layers: [
        ["d app/many 700 9:9", "f app/many/f1 =old"],
        ["d app 750", "d app/many/deeper 711 8:8"],
      ],
    },
    { name: "goes where a symlink leads", action: into("/link/x"), layers: [["d real 701", "l link real"]] },
    { name: "replaces files and symlinks", action: into("/app"), layers: [["f app/many/f1", "l app/many/f3 f5"]] },
    { name: "goes to what was removed", action: into("/app"), layers: [["d app/many 700", "f app/many/x"], ["w app"]] },
    { name: "has an owner", action: into("/app/", { owner: { user: "7", group: "8" } }) },
    {
      name: "has an owner by name",
      action: into("/app/", { owner: { user: "me", group: undefined } }),
      layers: [["f etc/passwd =me:x:41:42::/:/bin/sh", "f etc/group =me:x:42:"]],
    },
    { name: "has a mode", action: into("/app/", { mode: { kind: "octal", bits: 0o640 } }) },
    { name: "has a symbolic mode", action: into("/app/", { mode: { kind: "symbolic", text: "u=rwX,go=rX" } }) },
    { name: "leaves files out", action: into("/app/", { excludes: ["**/f11*"] }), excludes: ["src/many/f33*"] },
    {
      name: "has names of all kinds",
      action: into("/app/"),
      context: [
        `f src/${"long".repeat(40)}/${"x".repeat(120)}`,
        "f src/grüße",
        "f src/a.b/c",
        "f src/a/b",
        "f src/a-b/c",
        `f src/${"n".repeat(95)}`,
        `d src/${"m".repeat(99)}`,
      ],
    },
    {
      name: "has symlinks, modes and empty directories",
      action: into("/app/"),
      context: ["l src/link many/f1", `l src/far ${"t/".repeat(80)}t`, "f src/x 4755", "d src/void 1777", "l src/ö ä"],
    },
    { name: "goes to a path that is not ASCII", action: into("/ä/ö/"), context: ["f src/é"] },
  ])("$name: the same layer as of the files", async ({ action, layers = [], context = [], excludes = [] }) => {
    using bench = new FileBench();
    plantMany(bench.context);
    bench.plantContext(context);
    for (const lines of layers) bench.layer(lines);
    const { made, written } = await both(bench, action, { excludes });
    expect(written).toEqual(made);
    const bytes = readFileSync(join(bench.root, "layer.tar"));
    expect(digestOf(bytes)).toBe(made.diffId);
  });

  test("names that are not UTF-8 come through", async () => {
    using bench = new FileBench();
    plantMany(bench.context);
    const name = Buffer.concat([Buffer.from(join(bench.context, "src/odd-")), Buffer.from([0xff, 0xfe])]);
    writeFileSync(name, "odd");
    const { made, written } = await both(bench, into("/app/"));
    expect(written).toEqual(made);
  });

  test("files of a stage keep their owners", async () => {
    using bench = new FileBench();
    const lines = Array.from({ length: FILES }, (_, n) => `f src/f${n} 640 ${n}:${n + 1} =text ${n}`);
    bench.source(lines);
    const { made, written } = await both(bench, into("/app/", { keepOwner: true }));
    expect(written).toEqual(made);
  });

  test("a directory above a new one has the time of the copy", async () => {
    using bench = new FileBench();
    plantMany(bench.context);
    await both(bench, into("/new/app"));
    const listed = execFileSync("tar", ["--utc", "--full-time", "-tvf", join(bench.root, "layer.tar")]).toString();
    expect(listed.split("\n").find((line) => line.endsWith(" new/"))).toContain("2023-11-14 22:13:20");
  });

  test.each<{
    name: string;
    context?: readonly string[];
    layers?: readonly (readonly string[])[];
    action?: CopyAction;
  }>([
    { name: "two names of one file", context: ["f src/one", "h src/two src/one"] },
    { name: "a device", context: ["c src/device 1:3"] },
    { name: "a file where a directory is", layers: [["d app/many/f1"]] },
    { name: "a directory where a file is", layers: [["f app/many"]] },
    { name: "a destination that is a file", layers: [["f app"]] },
    { name: "a single file", action: copyAction("src/many/f1", "/app/") },
    { name: "parents", action: copyAction("src", "/app/", { parents: true }) },
    { name: "a directory of few files", context: ["f few/one"], action: copyAction("few", "/app/") },
    { name: "a large file", context: [`f src/large =${"x".repeat((FILES + 10) * 16 * 1024)}`] },
  ])("$name is left to a copy into files", async ({ context = [], layers = [], action = into("/app") }) => {
    using bench = new FileBench();
    plantMany(bench.context);
    bench.plantContext(context);
    for (const lines of layers) bench.layer(lines);
    expect((await both(bench, action)).written).toBeUndefined();
  });

  test.each([
    { files: 511, isDescribed: false },
    { files: 512, isDescribed: true },
  ])("of $files files, a build describes the copy: $isDescribed", async ({ files, isDescribed }) => {
    using bench = new FileBench();
    plantMany(bench.context, files);
    expect((await both(bench, into("/app/"), { limits: {} })).written !== undefined).toBe(isDescribed);
  });

  test("attributes are left to a copy into files, in the source and on the way", async () => {
    using bench = new FileBench();
    plantMany(bench.context);
    bench.layer(["d app"]);
    const onTheWay = join(bench.layers[0] ?? "", "app");
    bench.native.setXattr(AT_FDCWD, onTheWay, "user.note", Buffer.from("x"));
    expect((await both(bench, into("/app"))).written).toBeUndefined();
    bench.native.removeXattr(AT_FDCWD, onTheWay, "user.note");
    expect((await both(bench, into("/app"))).written).toBeDefined();
    bench.native.setXattr(AT_FDCWD, join(bench.context, "src/many/f1"), "user.note", Buffer.from("x"));
    expect((await both(bench, into("/app"))).written).toBeUndefined();
  });

  test("a socket is left out", async () => {
    using bench = new FileBench();
    plantMany(bench.context);
    const server = createServer();
    await new Promise<void>((resolve) => void server.listen(join(bench.context, "src/socket"), resolve));
    const { made, written } = await both(bench, into("/app/"));
    server.close();
    expect(written).toEqual(made);
  });

  describe("with an earlier tar", () => {
    const change = (bench: FileBench): void => {
      const at = (path: string): string => join(bench.context, "src", path);
      appendFileSync(at("many/f1"), "longer");
      writeFileSync(at("many/f3"), readFileSync(at("many/f3"), "latin1").replaceAll("f", "g"));
      rmSync(at("many/f5"));
      writeFileSync(at("many/f1000"), "new");
      writeFileSync(at("many/deeper.x"), "new");
      symlinkSync("f1", at("many/f1x"));
    };

    test("what changed is new and the rest is taken from it", async () => {
      using bench = new FileBench();
      plantMany(bench.context);
      bench.plantContext([`f src/${"long".repeat(40)}/${"x".repeat(120)}`, "f src/a.b/c", "f src/a/b"]);
      const earlier = join(bench.root, "earlier.tar");
      await both(bench, into("/app/"), { to: earlier });
      change(bench);
      const { made, written } = await both(bench, into("/app/"), { earlier });
      expect(written).toEqual(made);
      expect(digestOf(readFileSync(join(bench.root, "layer.tar")))).toBe(made.diffId);
    });

    test.each<{ name: string; damage: (path: string) => void }>([
      { name: "is cut off", damage: (path) => writeFileSync(path, readFileSync(path).subarray(0, 10_000)) },
      { name: "is empty", damage: (path) => writeFileSync(path, "") },
      { name: "is gone", damage: (path) => rmSync(path) },
      { name: "is no tar", damage: (path) => writeFileSync(path, Buffer.alloc(1 << 20, "x")) },
      {
        name: "has other bytes",
        damage: (path) =>
          writeFileSync(path, Buffer.from(readFileSync(path).map((byte) => (byte === 0x66 ? 0x67 : byte)))),
      },
      {
        name: "has lost a byte",
        damage: (path) =>
          writeFileSync(path, Buffer.concat([readFileSync(path).subarray(0, 5000), readFileSync(path).subarray(5001)])),
      },
    ])("one that $name costs time and nothing else", async ({ damage }) => {
      using bench = new FileBench();
      plantMany(bench.context);
      const earlier = join(bench.root, "earlier.tar");
      await both(bench, into("/app/"), { to: earlier });
      damage(earlier);
      const { made, written } = await both(bench, into("/app/"), { earlier });
      expect(written).toEqual(made);
    });
  });

  /** Writes a copy of files that change in between. */
  async function writeAfter(
    bench: FileBench,
    from: { readonly earlier?: string; readonly memory?: "kept" },
    change: () => void,
  ): Promise<LayerMeasure> {
    const { native } = bench;
    const index = { load: () => undefined, save: () => {} };
    using local = new LocalSource({ native, directory: bench.context, index, nowNs: () => NOW_NS });
    const view = local.view([]);
    const action = into("/app/");
    const selection = await select(view, copySelector(action), signal);
    using tree = new MergedTree({ native, directories: [empty(bench)], marks: "trusted" });
    const op: FileOp = { kind: "file", base: "input", actions: [action] };
    using copy = describeCopy(op, { tree, view, selection, nowNs: NOW_NS, minFiles: MIN_FILES });
    if (copy === undefined) throw new Error("not described");
    expect(copy.sourceOf("app/many/f1")).toBe("src/many/f1");
    change();
    const fd = openSync(join(bench.root, "layer.tar"), "w");
    try {
      const layer = from.memory === "kept" ? copy : { ...copy, kept: nothingKept(copy) };
      return await writeLayer(native, layer, { fd, earlier: from.earlier }, signal);
    } finally {
      closeSync(fd);
    }
  }

  test.each<{ name: string; change: (path: string) => void; code: string }>([
    { name: "other bytes of the same length", change: (path) => writeFileSync(path, "FILE 1\n"), code: "ESTALE" },
    { name: "more bytes", change: (path) => appendFileSync(path, "more"), code: "ESTALE" },
    { name: "fewer bytes", change: (path) => writeFileSync(path, "x"), code: "ESTALE" },
    { name: "no name any more", change: (path) => rmSync(path), code: "ENOENT" },
  ])("a file that has $name since it was named fails the copy", async ({ change, code }) => {
    using bench = new FileBench();
    plantMany(bench.context);
    const writing = writeAfter(bench, {}, () => change(join(bench.context, "src/many/f1")));
    await expect(writing).rejects.toMatchObject({ code, path: "app/many/f1" });
  });

  test("a file that an earlier tar has is not opened", async () => {
    using bench = new FileBench();
    plantMany(bench.context);
    const earlier = join(bench.root, "earlier.tar");
    const before = await both(bench, into("/app/"), { to: earlier });
    const after = await writeAfter(bench, { earlier }, () =>
      rmSync(join(bench.context, "src/many"), { recursive: true }),
    );
    expect(after).toEqual(before.made);
  });

  test("a file that was read to be named is not opened again", async () => {
    using bench = new FileBench();
    plantMany(bench.context);
    const { made } = await both(bench, into("/app/"));
    const after = await writeAfter(bench, { memory: "kept" }, () => {
      rmSync(join(bench.context, "src/many"), { recursive: true });
    });
    expect(after).toEqual(made);
  });
});
