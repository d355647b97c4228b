import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { O_DIRECTORY, O_PATH } from "./constants.ts";
import { locateNative } from "./locate.ts";
import type { KnownFiles, ListedRows } from "./native.ts";
import type { ScanColumns } from "./scan.ts";

const native = locateNative();
let directory = "";
let columns: ScanColumns;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-known-"));
  mkdirSync(join(directory, "d"));
  for (const name of ["a", "b", "d/c"]) writeFileSync(join(directory, name), name);
  const dirfd = native.openPath(directory, O_PATH | O_DIRECTORY);
  ({ columns } = native.scanTreeSync(dirfd, { links: true, xattrs: true }));
  native.close(dirfd);
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** An index of two files below `base`, of which the first is as scanned. */
function known(paths: readonly string[]): KnownFiles {
  const stamps = new Int32Array(10 * paths.length);
  const { dev, ino, size, mtimeNs, ctimeNs } = columns;
  for (const [at, column] of [dev, ino, size, mtimeNs, ctimeNs].entries()) {
    // Row 1 is "a".
    if (paths.length > 0) stamps.set(new Int32Array(column.buffer, column.byteOffset + 8, 2), 2 * at);
  }
  const ends: number[] = [];
  for (const path of paths) ends.push((ends.at(-1) ?? 0) + path.length);
  return {
    stamps,
    digests: Buffer.concat(paths.map((_, at) => Buffer.alloc(32, at + 1))),
    pathEnds: Uint32Array.from(ends),
    paths: Buffer.from(paths.join("")),
    used: new Uint8Array(paths.length),
  };
}

test.each([
  { base: "", paths: ["a", "d/c"] },
  { base: "some/where", paths: ["some/where/a", "some/where/d/c"] },
])("files at $base are found by path and stamp, and the others told apart", ({ base, paths }) => {
  const index = known(paths);
  const digests = Buffer.alloc(3 * 32);
  const found = native.findKnown(index, columns, base, Int32Array.of(4, 1, 2), digests);
  expect([...found]).toEqual([-3, 0, -1]);
  expect(digests.subarray(32, 64)).toEqual(Buffer.alloc(32, 1));
  expect([...index.used]).toEqual([1, 0]);
});

test("an empty index knows nothing", () => {
  expect([...native.findKnown(known([]), columns, "", Int32Array.of(1), Buffer.alloc(32))]).toEqual([-1]);
});

test.each<{ name: string; over: Partial<KnownFiles>; scan?: Partial<ScanColumns>; rows?: Int32Array; room?: number }>([
  { name: "ends beyond the paths", over: { pathEnds: Uint32Array.of(1, 99) } },
  { name: "ends that go back", over: { pathEnds: Uint32Array.of(3, 1) } },
  { name: "fewer stamps than paths", over: { stamps: new Int32Array(10) } },
  { name: "fewer digests than paths", over: { digests: Buffer.alloc(32) } },
  { name: "fewer flags than paths", over: { used: new Uint8Array(1) } },
  { name: "a row that is not there", over: {}, rows: Int32Array.of(5) },
  { name: "a negative row", over: {}, rows: Int32Array.of(-1) },
  { name: "no room for digests", over: {}, room: 31 },
  { name: "a directory behind what it holds", over: {}, scan: { parent: Int32Array.of(-1, 0, 0, 4, 3) } },
  { name: "names that end beyond their bytes", over: {}, scan: { nameEnd: Uint32Array.of(0, 1, 2, 3, 99) } },
  { name: "a short column", over: {}, scan: { ctimeNs: new BigInt64Array(2) } },
])("$name is refused", ({ over, scan = {}, rows = Int32Array.of(1), room = 32 }) => {
  const index = { ...known(["a", "d/c"]), ...over };
  expect(() => native.findKnown(index, { ...columns, ...scan }, "", rows, Buffer.alloc(room))).toThrow(RangeError);
});

test.each<{ name: string; over: Partial<ListedRows>; scan?: Partial<ScanColumns> }>([
  { name: "a row that is not there", over: { rows: Int32Array.of(9) } },
  { name: "fewer digests than files", over: { digests: Buffer.alloc(32) } },
  { name: "links that end beyond their bytes", over: {}, scan: { linkEnd: Uint32Array.of(9, 9, 9, 9, 9) } },
  { name: "a short column", over: {}, scan: { uid: new Uint32Array(1) } },
])("a list with $name is refused", ({ over, scan = {} }) => {
  const listed: ListedRows = {
    columns: { ...columns, ...scan },
    rows: Int32Array.of(1, 2),
    top: 0,
    digests: Buffer.alloc(64),
    owners: "root",
    ...over,
  };
  expect(() => native.listRows(listed)).toThrow(RangeError);
});
