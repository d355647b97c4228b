import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { O_DIRECTORY, O_PATH } from "../native/constants.ts";
import { locateNative } from "../native/locate.ts";
import { TreeScan } from "../native/scan.ts";
import { DescribedTree } from "./described-tree.ts";
import { type LayerDescription, writeLayer } from "./write-layer.ts";

const native = locateNative();
const { signal } = new AbortController();
let root = "";
let dirfd = -1;
let fd = -1;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kiln-write-"));
  mkdirSync(join(root, "from"));
  for (const name of ["a", "b"]) writeFileSync(join(root, "from", name), `${name}\n`);
  dirfd = native.openPath(join(root, "from"), O_PATH | O_DIRECTORY);
  fd = openSync(join(root, "layer.tar"), "w");
});

afterEach(() => {
  native.close(dirfd);
  closeSync(fd);
  rmSync(root, { recursive: true, force: true });
});

/** `to/a` and `to/b`. */
function described(over: Partial<LayerDescription> = {}): LayerDescription {
  const scan = native.scanTreeSync(dirfd);
  const tree = new DescribedTree(3);
  const to = tree.addDirectory(0, "to", { mode: 0o755, uid: 1, gid: 2, mtimeNs: 5_000_000_000n });
  for (const row of [1, 2]) tree.addScanned(to, scan, row, undefined);
  const digests = ["a\n", "b\n"].map((text) => hash("sha256", text, "buffer"));
  const expected = Buffer.concat([Buffer.alloc(64), ...digests]);
  const kept = { bytes: Buffer.alloc(0), offsets: new Float64Array(4).fill(-1) };
  return { columns: tree.columns(), dirfd, strip: 3, expected, kept, ...over };
}

test("the bytes are those of the digest, and in the tar's own order", async () => {
  const { diffId, sizeBytes, entries } = await writeLayer(native, described(), { fd, earlier: undefined }, signal);
  const bytes = readFileSync(join(root, "layer.tar"));
  expect([digestOf(bytes), bytes.length, entries]).toEqual([diffId, sizeBytes, 3]);
  expect([0, 512, 1536].map((at) => bytes.toString("latin1", at, bytes.indexOf(0, at)))).toEqual([
    "to/",
    "to/a",
    "to/b",
  ]);
});

test("a description is the scan that its files would give", () => {
  const { columns } = described();
  const scan = new TreeScan(columns);
  expect(Array.from({ length: scan.count }, (_, row) => scan.path(row))).toEqual(["", "to", "to/a", "to/b"]);
  expect([...columns.mode].map((mode) => mode.toString(8))).toEqual(["40755", "40755", "100644", "100644"]);
  expect([...columns.uid]).toEqual([0, 1, 0, 0]);
  expect([...columns.size]).toEqual([0, 0, 2, 2]);
});

test("an aborted one ends with the signal's reason", async () => {
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  await expect(writeLayer(native, described(), { fd, earlier: undefined }, stop.signal)).rejects.toThrow("enough");
});

test("a full disk is told as what it is", async () => {
  const full = openSync("/dev/full", "w");
  const writing = writeLayer(native, described(), { fd: full, earlier: undefined }, signal);
  await expect(writing).rejects.toMatchObject({ code: "ENOSPC" });
  closeSync(full);
});

test.each<{ name: string; over: Partial<LayerDescription> }>([
  { name: "fewer digests than rows", over: { expected: Buffer.alloc(127) } },
  { name: "fewer places than rows", over: { kept: { bytes: Buffer.alloc(9), offsets: new Float64Array(3) } } },
  {
    name: "a place beyond the bytes",
    over: { kept: { bytes: Buffer.alloc(3), offsets: Float64Array.of(-1, -1, 0, 2) } },
  },
])("a description with $name is refused", async ({ over }) => {
  await expect(writeLayer(native, described(over), { fd, earlier: undefined }, signal)).rejects.toThrow(RangeError);
});
