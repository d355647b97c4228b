import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { type ArchiveEntry, writeArchive } from "./archive.ts";

const signal = new AbortController().signal;

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

const LARGE = Buffer.alloc(700_000, "layer");
const ENTRIES: readonly ArchiveEntry[] = [
  { kind: "directory", path: "blobs/" },
  { kind: "file", path: "blobs/large", size: LARGE.length, content: LARGE },
  { kind: "file", path: "blobs/streamed", size: LARGE.length, content: inPieces(LARGE, 10_000) },
  { kind: "file", path: "index.json", size: 2, content: Buffer.from("{}") },
  { kind: "symlink", path: "link", target: "blobs/large" },
];

test("GNU tar reads what is written", async () => {
  const input = Buffer.concat(await collect(writeArchive(ENTRIES, {}, signal) as AsyncIterable<Buffer>));
  const tar = (...words: readonly string[]): Buffer =>
    spawnSync("tar", words, { input, env: { ...process.env, TZ: "UTC" }, maxBuffer: 2 * LARGE.length }).stdout;
  expect(tar("--numeric-owner", "-tvf", "-").toString().replaceAll(/ +/g, " ").trim().split("\n")).toEqual([
    "drwxr-xr-x 0/0 0 1970-01-01 00:00 blobs/",
    `-rw-r--r-- 0/0 ${LARGE.length} 1970-01-01 00:00 blobs/large`,
    `-rw-r--r-- 0/0 ${LARGE.length} 1970-01-01 00:00 blobs/streamed`,
    "-rw-r--r-- 0/0 2 1970-01-01 00:00 index.json",
    "lrwxrwxrwx 0/0 0 1970-01-01 00:00 link -> blobs/large",
  ]);
  expect(tar("-xOf", "-", "blobs/large").equals(LARGE)).toBe(true);
  expect(tar("-xOf", "-", "blobs/streamed").equals(LARGE)).toBe(true);
});

test("content of another length than promised is an error", async () => {
  const wrong: ArchiveEntry[] = [{ kind: "file", path: "f", size: 5, content: inPieces(Buffer.from("1234"), 1) }];
  await expect(collect(writeArchive(wrong, {}, signal))).rejects.toThrow("Size mismatch");
});

test("a source that fails fails the archive", async () => {
  async function* broken(): AsyncGenerator<ArchiveEntry, void> {
    yield { kind: "directory", path: "d" };
    throw new Error("blob is gone");
  }
  await expect(collect(writeArchive(broken(), {}, signal))).rejects.toThrow("blob is gone");
});
