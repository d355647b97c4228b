import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { errnoOf } from "../core/errors.ts";
import { locateNative } from "../native/locate.ts";
import { gunzipFile } from "./gunzip-file.ts";

const native = locateNative();
const { signal } = new AbortController();
const directory = mkdtempSync(join(tmpdir(), "kiln-gunzip-"));
const path = join(directory, "file");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const long = Buffer.from(Array.from({ length: 700_000 }, (_, index) => (index * 7919) >> 5));

test.each([
  { name: "one member", parts: [gzipSync("ab")], read: "ab" },
  { name: "much", parts: [gzipSync(long)], read: long.toString("latin1") },
  { name: "members", parts: [gzipSync("ab"), gzipSync(""), gzipSync(long)], read: `ab${long.toString("latin1")}` },
  { name: "zeros behind it", parts: [gzipSync("ab"), Buffer.alloc(300_000)], read: "ab" },
  { name: "a stored block", parts: [gzipSync(long, { level: 0 })], read: long.toString("latin1") },
])("$name: the content, and its digest", async ({ parts, read }) => {
  writeFileSync(path, Buffer.concat(parts));
  const reports: number[] = [];
  const tar = gunzipFile(native, path, signal, (sizeBytes) => void reports.push(sizeBytes));
  let text = "";
  for await (const piece of tar) text += Buffer.from(piece).toString("latin1");
  expect(text).toBe(read);
  expect(reports.at(-1)).toBeGreaterThan(0);
  expect(reports).toEqual(reports.toSorted((a, b) => a - b));
  expect(tar.sums()).toEqual({ diffId: digestOf(Buffer.from(read, "latin1")), sizeBytes: read.length });
});

test.each([
  { name: "nothing", bytes: Buffer.alloc(0) },
  { name: "another kind", bytes: Buffer.from("PK, and no gzip at all") },
  { name: "garbage behind it", bytes: Buffer.concat([gzipSync("ab"), Buffer.from("garbage")]) },
  { name: "garbage behind zeros", bytes: Buffer.concat([gzipSync("ab"), Buffer.alloc(9), Buffer.from("x")]) },
  { name: "half a second member", bytes: Buffer.concat([gzipSync("ab"), Buffer.of(0x1f)]) },
  { name: "a wrong checksum", bytes: Buffer.concat([gzipSync("ab").subarray(0, -8), Buffer.alloc(8)]) },
  { name: "no trailer", bytes: gzipSync("ab").subarray(0, -4) },
  { name: "a cut", bytes: gzipSync(long).subarray(0, 5000) },
])("$name is an error", async ({ bytes }) => {
  writeFileSync(path, bytes);
  const read = async (): Promise<void> => {
    for await (const piece of gunzipFile(native, path, signal)) void piece;
  };
  await expect(read()).rejects.toMatchObject({ code: "archive/malformed" });
});

test("a reader that stops, an abort and a missing file leave nothing open", async () => {
  writeFileSync(path, gzipSync(Buffer.alloc(30 << 20)));
  const open = (): number => readdirSync("/proc/self/fd").length;
  const before = open();
  for await (const piece of gunzipFile(native, path, signal)) {
    expect(piece.length).toBeGreaterThan(0);
    break;
  }
  const controller = new AbortController();
  const read = async (): Promise<void> => {
    for await (const piece of gunzipFile(native, path, controller.signal))
      controller.abort(new Error(`${piece.length > 0}`));
  };
  await expect(read()).rejects.toThrow("true");
  const missing = gunzipFile(native, join(directory, "missing"), signal)[Symbol.asyncIterator]().next();
  expect(errnoOf(await missing.catch((error: unknown) => error))).toBe("ENOENT");
  expect(open()).toBe(before);
});
