import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { digestOf } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { expect, test } from "vitest";
import { compress } from "./compress.ts";
import {
  type CompressionKind,
  decompress,
  detectCompression,
  layerCompression,
  sniffCompression,
} from "./compression.ts";

const signal = new AbortController().signal;
// Text that repeats, and noise that does not: the first gzip block is all noise, the second half.
const INPUT = Buffer.alloc(3_300_000, "kiln builds images. ");
for (let at = 0; at < 1_500_000; at += 1) INPUT[at] = (Math.imul(at, 2_654_435_761) >>> 13) & 255;

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

test.each([
  { kind: "gzip", program: ["gzip", "-dc"] },
  { kind: "zstd", program: ["zstd", "-dc"] },
] as const)("$kind is the same on any number of cores and readable by its own program", async ({ kind, program }) => {
  const one = await bytesOf(compress(inPieces(INPUT, 7_000), { kind, parallel: 1 }, signal));
  const four = await bytesOf(compress(inPieces(INPUT, 999_999), { kind, parallel: 4 }, signal));
  expect(digestOf(one)).toBe(digestOf(four));
  expect(detectCompression(one)).toBe(kind);
  expect((await bytesOf(decompress(inPieces(one, 10_000), kind, signal))).equals(INPUT)).toBe(true);
  const [command = "", ...args] = program;
  const theirs = spawnSync(command, args, { input: one, maxBuffer: 1 << 26 });
  if (theirs.error !== undefined) console.warn(`${command} is not installed: its reading of ours is not tested`);
  else expect(theirs.stdout.equals(INPUT)).toBe(true);
});

test.each([
  { kind: "gzip", level: 4 },
  { kind: "zstd", level: 3 },
] as const)("$kind has level $level where none is asked for", async ({ kind, level }) => {
  const bytes = (more: { readonly level?: number }): Promise<Buffer> =>
    bytesOf(compress(inPieces(INPUT, 100_000), { kind, parallel: 2, ...more }, signal));
  expect(digestOf(await bytes({}))).toBe(digestOf(await bytes({ level })));
});

test("one layer keeps all processors busy: that many blocks are taken before the first is waited for", async () => {
  const block = 1 << 20;
  let taken = 0;
  async function* source(): AsyncGenerator<Buffer> {
    for (; taken < 9; taken += 1) yield Buffer.alloc(block, taken);
  }
  const parts = compress(source(), { kind: "gzip", parallel: 4 }, signal);
  await parts.next();
  expect(taken).toBe(0);
  await parts.next();
  expect(taken).toBeGreaterThanOrEqual(5);
  await parts.return();
});

test.each([
  { kind: "gzip", program: ["gzip", "-dc"], overheadBytes: 5 * 200 + 18 },
  { kind: "zstd", program: ["zstd", "-dc"], overheadBytes: 9 + 3 * 80 },
] as const)("noise is stored as it is in $kind, its last block too", async ({ kind, program, overheadBytes }) => {
  const noise = randomBytes(9_000_001);
  const made = await bytesOf(compress(inPieces(noise, 1 << 20), { kind, parallel: 2 }, signal));
  expect(made.length).toBeLessThan(noise.length + overheadBytes + 1000);
  expect((await bytesOf(decompress(inPieces(made, 100_000), kind, signal))).equals(noise)).toBe(true);
  const [command = "", ...args] = program;
  const theirs = spawnSync(command, args, { input: made, maxBuffer: 1 << 26 });
  if (theirs.error !== undefined) console.warn(`${command} is not installed: its reading of ours is not tested`);
  else expect(theirs.stdout.equals(noise)).toBe(true);
});

test.each(["gzip", "zstd"] as const)("%s of nothing is nothing again", async (kind) => {
  const empty = await bytesOf(compress(inPieces(Buffer.alloc(0), 1), { kind, parallel: 2 }, signal));
  expect(await bytesOf(decompress(inPieces(empty, 5), kind, signal))).toEqual(Buffer.alloc(0));
});

test("a gzip header says nothing of when and where it was made", async () => {
  const bytes = await bytesOf(compress(inPieces(INPUT, 100_000), { kind: "gzip", level: 1, parallel: 2 }, signal));
  expect(bytes.subarray(0, 10)).toEqual(Buffer.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255));
});

test.each(["bzip2", "xz"] as const)("%s is read through its program", async (kind) => {
  const made = spawnSync(kind, ["-c"], { input: INPUT, maxBuffer: 1 << 26 });
  if (made.error !== undefined) {
    console.warn(`${kind} is not installed: reading it is not tested`);
    return;
  }
  expect(detectCompression(made.stdout)).toBe(kind);
  expect((await bytesOf(decompress(inPieces(made.stdout, 4_096), kind, signal))).equals(INPUT)).toBe(true);
  const broken = bytesOf(decompress(inPieces(made.stdout.subarray(0, 100), 50), kind, signal));
  await expect(broken).rejects.toMatchObject({ code: "archive/malformed" });
  expect(() => layerCompression(kind)).toThrow(/only gzip and zstd/);
});

test.each(["gzip", "zstd"] as const)("%s that is damaged or cut off is an error", async (kind) => {
  const good = await bytesOf(compress(inPieces(INPUT, 1 << 20), { kind, parallel: 2 }, signal));
  const cut = bytesOf(decompress(inPieces(good.subarray(0, good.length - 20), 65_536), kind, signal));
  await expect(cut).rejects.toMatchObject({ code: "archive/malformed" });
  const damaged = Buffer.from(good);
  damaged.fill(0x55, 10_000, 10_100);
  await expect(bytesOf(decompress(inPieces(damaged, 65_536), kind, signal))).rejects.toMatchObject({
    code: "archive/malformed",
  });
});

/** Bytes behind `good` bytes of content, and what was read before an error. */
async function readUntilError(bytes: Uint8Array, size: number, kind: CompressionKind): Promise<[string, string?]> {
  let text = "";
  try {
    for await (const piece of decompress(inPieces(bytes, size), kind, signal)) text += Buffer.from(piece).toString();
  } catch (error) {
    return [text, error instanceof BuildError ? error.code : String(error)];
  }
  return [text];
}

const skippable = Buffer.of(0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4);
const named = Buffer.concat([Buffer.of(0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3, 2, 0, 9, 9), Buffer.from("n\0c\0hh")]);

test.each([
  { name: "two frames of zstd", kind: "zstd", parts: [zstdCompressSync("ab"), zstdCompressSync("cd")], read: "abcd" },
  { name: "frames to skip", kind: "zstd", parts: [skippable, zstdCompressSync("ab"), skippable], read: "ab" },
  { name: "two members of gzip", kind: "gzip", parts: [gzipSync("ab"), gzipSync(""), gzipSync("cd")], read: "abcd" },
  { name: "zeros behind gzip", kind: "gzip", parts: [gzipSync("ab"), Buffer.alloc(700)], read: "ab" },
  { name: "a header with everything", kind: "gzip", parts: [named, gzipSync("ab").subarray(10)], read: "ab" },
  { name: "garbage behind gzip", kind: "gzip", parts: [gzipSync("ab"), Buffer.from("garbage")], read: "ab", bad: true },
  {
    name: "garbage behind zstd",
    kind: "zstd",
    parts: [zstdCompressSync("ab"), Buffer.from("x")],
    read: "ab",
    bad: true,
  },
  {
    name: "a wrong checksum",
    kind: "gzip",
    parts: [gzipSync("ab").subarray(0, -8), Buffer.alloc(8)],
    read: "ab",
    bad: true,
  },
  { name: "no trailer", kind: "gzip", parts: [gzipSync("ab").subarray(0, -4)], read: "ab", bad: true },
] as const)("$name: what can be read is, wherever pieces end", async ({ kind, parts, read, ...rest }) => {
  const bytes = Buffer.concat(parts);
  const expected = "bad" in rest ? [read, "archive/malformed"] : [read];
  for (const size of [1, 3, bytes.length]) expect(await readUntilError(bytes, size, kind)).toEqual(expected);
});

test("a failure of the source is thrown as it is", async () => {
  async function* broken(): AsyncGenerator<Uint8Array, void> {
    yield Buffer.of(0x1f, 0x8b, 8);
    throw new Error("connection lost");
  }
  for (const kind of ["gzip", "zstd", "bzip2", "none"] satisfies CompressionKind[]) {
    await expect(bytesOf(decompress(broken(), kind, signal))).rejects.toThrow("connection lost");
  }
});

test("sniffing gives the whole stream back", async () => {
  const { kind, stream } = await sniffCompression(inPieces(Buffer.of(0x1f, 0x8b, 1, 2, 3, 4, 5, 6), 1), signal);
  expect(kind).toBe("gzip");
  expect([...(await bytesOf(stream))]).toEqual([0x1f, 0x8b, 1, 2, 3, 4, 5, 6]);
  expect((await sniffCompression(inPieces(Buffer.of(1), 1), signal)).kind).toBe("none");
});

test("a build that was stopped before a stream is looked at ends with its reason, and with no error for nobody", async () => {
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  await expect(sniffCompression(Readable.from([Buffer.of(1)]), stop.signal)).rejects.toThrow("enough");
  // An error that no listener takes fails the run of the tests.
  await setImmediate();
});

test("an aborted compression stops", async () => {
  const stop = new AbortController();
  stop.abort(new Error("enough"));
  await expect(bytesOf(compress(inPieces(INPUT, 1000), { kind: "gzip", parallel: 1 }, stop.signal))).rejects.toThrow(
    "enough",
  );
  await expect(bytesOf(decompress(inPieces(INPUT, 1000), "gzip", stop.signal))).rejects.toThrow("enough");
});
