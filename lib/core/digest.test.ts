import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { expect, test } from "vitest";
import { DigestStream, Digester, digestFromHex, digestOf, hexOf, isDigest, parseDigest } from "./digest.ts";

const EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

test("digestOf is sha256 over UTF-8", () => {
  expect(digestOf("")).toBe(EMPTY);
  expect(digestOf("é")).toBe(digestOf(Buffer.from([0xc3, 0xa9])));
});

test("hexOf and digestFromHex undo each other", () => {
  expect(digestFromHex(hexOf(digestOf("x")))).toBe(digestOf("x"));
});

test.each([
  { name: "no algorithm", text: "e3b0c442" },
  { name: "upper-case digits", text: EMPTY.toUpperCase() },
  { name: "another algorithm", text: EMPTY.replace("sha256", "sha512") },
  { name: "a line end behind it", text: `${EMPTY}\n` },
  { name: "a path", text: "sha256:../../etc/passwd" },
])("$name is not a digest", ({ text }) => {
  expect(isDigest(text)).toBe(false);
  expect(() => parseDigest(text, "a manifest")).toThrowError(/Cannot read a manifest: .* is not a sha256 digest/);
});

test("a Digester counts bytes, not characters", () => {
  const digester = new Digester().update("é").update(Buffer.from("x"));
  expect(digester.sizeBytes).toBe(3);
  expect(digester.digest()).toBe(digestOf("éx"));
});

test("a DigestStream passes bytes on and digests them", async () => {
  const stream = new DigestStream();
  const seen: Buffer[] = [];
  await pipeline(Readable.from([Buffer.from("ab"), Buffer.from("c")]), stream, async (chunks) => {
    for await (const chunk of chunks) seen.push(Buffer.from(chunk as Uint8Array));
  });
  expect(Buffer.concat(seen).toString()).toBe("abc");
  expect(stream.result()).toEqual({ digest: digestOf("abc"), sizeBytes: 3 });
});
