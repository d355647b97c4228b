import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { type ArchiveEntry, type ArchiveMember, readArchive, writeArchive } from "./archive.ts";

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

test("what is written is read again, and by GNU tar", async () => {
  const bytes = Buffer.concat(await collect(writeArchive(ENTRIES, {}, signal) as AsyncIterable<Buffer>));
  const found: (Omit<ArchiveMember, "body"> & { readonly read: number })[] = [];
  for await (const { body, ...member } of readArchive(inPieces(bytes, 65_000), signal)) {
    let read = 0;
    // One body is left unread on purpose.
    if (member.path !== "blobs/streamed") for await (const chunk of body) read += chunk.length;
    found.push({ ...member, read });
  }
  expect(found).toEqual([
    { path: "blobs/", type: "directory", size: 0, linkName: "", read: 0 },
    { path: "blobs/large", type: "file", size: LARGE.length, linkName: "", read: LARGE.length },
    { path: "blobs/streamed", type: "file", size: LARGE.length, linkName: "", read: 0 },
    { path: "index.json", type: "file", size: 2, linkName: "", read: 2 },
    { path: "link", type: "symlink", size: 0, linkName: "blobs/large", read: 0 },
  ]);
  const listing = spawnSync("tar", ["--numeric-owner", "-tvf", "-"], {
    input: bytes,
    env: { ...process.env, TZ: "UTC" },
    encoding: "utf8",
  });
  if (listing.error === undefined)
    expect(listing.stdout).toContain("-rw-r--r-- 0/0               2 1970-01-01 00:00 index.json");
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

test("an archive that stops early is malformed", async () => {
  const bytes = Buffer.concat(await collect(writeArchive(ENTRIES.slice(3), {}, signal) as AsyncIterable<Buffer>));
  const reading = collect(readArchive(inPieces(bytes.subarray(0, 700), 100), signal));
  await expect(reading).rejects.toMatchObject({ code: "archive/malformed" });
});
