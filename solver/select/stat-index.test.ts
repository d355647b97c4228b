import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { digestOf } from "../../lib/core/digest.ts";
import { locateNative } from "../../lib/native/locate.ts";
import type { Native } from "../../lib/native/native.ts";
import { TreeScan } from "../../lib/native/scan.ts";
import type { FileClock } from "./clocks.ts";
import { LocalSource } from "../sources/local/local-source.ts";
import { type Selection, select } from "./select.ts";
import type { Selector } from "./selector.ts";
import { isRacy, StatIndex } from "./stat-index.ts";

const everything: Selector = { kind: "copy", source: "", wildcard: false, excludes: [], parents: false };
const signal = new AbortController().signal;
/** So far ahead that every file is old, as it is for a build some seconds after the last change. */
const LATER_NS = 60_000_000_000n;

describe("the stat index", () => {
  let directory: string;
  let saved: Uint8Array | undefined;
  let reads: string[];
  const native = locateNative();

  /** Notes which files are read. */
  const watching: Native = {
    ...native,
    digestRows: (dirfd, batch) => {
      const scan = new TreeScan(batch.columns);
      reads.push(...Array.from(batch.rows, (row) => scan.path(row)));
      return native.digestRows(dirfd, batch);
    },
  };
  const storage = { load: () => saved, save: (bytes: Uint8Array) => void (saved = bytes) };

  async function build(laterNs = LATER_NS, clock?: FileClock): Promise<Selection> {
    reads = [];
    const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n + laterNs;
    const options = { native: watching, directory, index: storage, nowNs };
    using source = new LocalSource(clock === undefined ? options : { ...options, clock });
    const selection = await select(source.view([]), everything, signal);
    source.save();
    return selection;
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "kiln-index-"));
    saved = undefined;
    for (const name of ["a", "b", "c"]) writeFileSync(join(directory, name), name);
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test("an unchanged file is never read again", async () => {
    const first = await build();
    expect(reads).toEqual(["a", "b", "c"]);
    const second = await build();
    expect(reads).toEqual([]);
    expect(second.digest).toBe(first.digest);
  });

  test("of changed files only those are read", async () => {
    const first = await build();
    writeFileSync(join(directory, "b"), "B");
    const second = await build();
    expect(reads).toEqual(["b"]);
    expect(second.digest).not.toBe(first.digest);
    expect(second.listing).toContain(digestOf("B"));
  });

  test("a touched file is read again, and nothing has changed", async () => {
    const first = await build();
    utimesSync(join(directory, "b"), 1, 1);
    const second = await build();
    expect(reads).toEqual(["b"]);
    expect(second.digest).toBe(first.digest);
  });

  test("a change of equal size with its old mtime put back is seen, because ctime moves", async () => {
    utimesSync(join(directory, "b"), 1_000_000, 1_000_000);
    const first = await build();
    writeFileSync(join(directory, "b"), "B");
    utimesSync(join(directory, "b"), 1_000_000, 1_000_000);
    const second = await build();
    expect(reads).toEqual(["b"]);
    expect(second.digest).not.toBe(first.digest);
  });

  test("files younger than a tick of the clock are read again until they are older", async () => {
    await build(-LATER_NS);
    expect(reads).toEqual(["a", "b", "c"]);
    await build();
    expect(reads).toEqual(["a", "b", "c"]);
    await build();
    expect(reads).toEqual([]);
  });

  test("on a file server a file is known when it was read twice, some seconds apart, whatever its clock says", async () => {
    for (const name of ["a", "b", "c"]) utimesSync(join(directory, name), 1, 1);
    await build(LATER_NS, "foreign");
    expect(reads).toEqual(["a", "b", "c"]);
    await build(LATER_NS, "foreign");
    expect(reads).toEqual(["a", "b", "c"]);
    await build(LATER_NS + 10_000_000_000n, "foreign");
    expect(reads).toEqual(["a", "b", "c"]);
    await build(LATER_NS + 20_000_000_000n, "foreign");
    expect(reads).toEqual([]);
    writeFileSync(join(directory, "b"), "B");
    await build(LATER_NS + 30_000_000_000n, "foreign");
    expect(reads).toEqual(["b"]);
    await build(LATER_NS + 40_000_000_000n, "foreign");
    expect(reads).toEqual(["b"]);
    await build(LATER_NS + 50_000_000_000n, "foreign");
    expect(reads).toEqual([]);
  });

  test("where anybody can set the change time, every file is read", async () => {
    await build(LATER_NS, "settable");
    await build(2n * LATER_NS, "settable");
    expect(reads).toEqual(["a", "b", "c"]);
  });

  test("a file replaced by rename is read again", async () => {
    await build();
    writeFileSync(join(directory, "new"), "b");
    const { renameSync } = process.getBuiltinModule("node:fs");
    renameSync(join(directory, "new"), join(directory, "b"));
    await build();
    expect(reads).toEqual(["b"]);
  });

  test.each([
    { name: "cut short", damage: (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 3) },
    { name: "of another format", damage: (bytes: Uint8Array) => Buffer.from(bytes).fill(7, 0, 4) },
    { name: "empty", damage: () => new Uint8Array(0) },
    { name: "with a wild count", damage: (bytes: Uint8Array) => Buffer.from(bytes).fill(0x7f, 4, 8) },
  ])("an index that is $name costs only time", async ({ damage }) => {
    const first = await build();
    saved = damage(saved ?? new Uint8Array(0));
    const second = await build();
    expect(reads).toEqual(["a", "b", "c"]);
    expect(second.digest).toBe(first.digest);
  });

  test("names that are not UTF-8 keep their place", async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), Buffer.of(0xff, 0x41)]), "odd");
    const first = await build();
    const second = await build();
    expect(reads).toEqual([]);
    expect(second.digest).toBe(first.digest);
    expect(first.listing).toContain("\\udcffA\t");
  });

  test("files long gone are forgotten in time", async () => {
    for (let at = 0; at < 1010; at += 1) writeFileSync(join(directory, `gone${at}`), "");
    await build();
    const full = saved?.byteLength ?? 0;
    for (let at = 0; at < 1010; at += 1) rmSync(join(directory, `gone${at}`));
    writeFileSync(join(directory, "a"), "A");
    await build();
    expect(saved?.byteLength).toBeLessThan(full / 10);
    await build();
    expect(reads).toEqual([]);
  });

  test("nothing is saved when nothing was learnt", async () => {
    await build();
    saved = undefined;
    const index = new StatIndex(native, storage);
    index.save();
    expect(saved).toBeUndefined();
  });

  test.each([
    { name: "long ago", mtimeNs: 1_000n, ctimeNs: 1_000n, isIt: false },
    { name: "just now", mtimeNs: 9_999_990_000_001n, ctimeNs: 1n, isIt: true },
    { name: "changed just now under an old time", mtimeNs: 1n, ctimeNs: 9_999_990_000_001n, isIt: true },
    { name: "from the future", mtimeNs: 20_000_000_000_001n, ctimeNs: 1n, isIt: true },
    { name: "one second ago with whole seconds", mtimeNs: 9_999_000_000_000n, ctimeNs: 9_999_000_000_000n, isIt: true },
    { name: "one second ago with fractions", mtimeNs: 9_999_000_000_001n, ctimeNs: 9_999_000_000_001n, isIt: false },
  ])("a file $name is racy: $isIt", ({ mtimeNs, ctimeNs, isIt }) => {
    expect(isRacy(mtimeNs, ctimeNs, 10_000_000_000_000n)).toBe(isIt);
  });
});
