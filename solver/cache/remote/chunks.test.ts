import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { digestOf } from "../../../lib/core/digest.ts";
import { chunksOf, MAX_CHUNK_BYTES } from "./chunks.ts";

/** Bytes that look random and are the same in every run. */
function noise(seed: string, sizeBytes: number): Buffer {
  return createHash("shake256", { outputLength: sizeBytes }).update(seed).digest();
}

async function* inPieces(bytes: Buffer, sizeBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += sizeBytes) yield bytes.subarray(at, at + sizeBytes);
}

async function cut(bytes: Buffer, sizeBytes = 1 << 20): Promise<Buffer[]> {
  return Array.fromAsync(chunksOf(inPieces(bytes, sizeBytes)));
}

test("pieces put together are the stream, however it arrives", async () => {
  const bytes = noise("a", 40 << 20);
  const pieces = await cut(bytes);
  expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
  expect((await cut(bytes, 77_777)).map(digestOf)).toEqual(pieces.map(digestOf));
  expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(MAX_CHUNK_BYTES);
});

test("a change in one place leaves most pieces as they were", async () => {
  const bytes = noise("a", 40 << 20);
  const changed = Buffer.concat([bytes.subarray(0, 15_000_000), Buffer.from("inserted"), bytes.subarray(15_000_000)]);
  const before = new Set((await cut(bytes)).map(digestOf));
  const added = (await cut(changed)).map(digestOf).filter((digest) => !before.has(digest));
  expect(added.length).toBeLessThanOrEqual(2);
});

test("bytes that never give a cut are cut at the largest size", async () => {
  expect((await cut(Buffer.alloc(MAX_CHUNK_BYTES + 5))).map((piece) => piece.length)).toEqual([MAX_CHUNK_BYTES, 5]);
});

test("the places where a fixed stream is cut do not move, for that would send everything again", async () => {
  const sizes = (await cut(noise("fixed", 16 << 20))).map((piece) => piece.length);
  expect(sizes).toMatchInlineSnapshot(`
    [
      1141086,
      1365767,
      12649335,
      1621028,
    ]
  `);
});
