import { expect, test } from "vitest";
import { BuildError } from "../core/errors.ts";
import { BLOCK } from "./entry.ts";
import { known, type OldSparse, oldSparseExtension, SparseMapText } from "./sparse.ts";

/** Feeds GNU 1.0's map in blocks; the answer is that of the last one. */
function numbersOf(text: string): readonly number[] | undefined {
  const bytes = Buffer.from(text.padEnd(Math.ceil(text.length / BLOCK) * BLOCK, "\0"), "latin1");
  const map = new SparseMapText();
  let found: readonly number[] | undefined;
  for (let at = 0; at < bytes.length && found === undefined; at += BLOCK)
    found = map.add(bytes.subarray(at, at + BLOCK));
  return found;
}

test.each([
  { text: "0\n", numbers: [] },
  { text: "1\n5\n7\n", numbers: [5, 7] },
  { text: `1\n${"0".repeat(508)}5\n7\n`, numbers: [5, 7] },
  { text: "2\n5\n7\n9\n", numbers: undefined },
])("a map of $numbers", ({ text, numbers }) => {
  expect(numbersOf(text)).toEqual(numbers);
});

test.each(["x\n", "-1\n", "1000001\n", `1\n${"1".repeat(2000)}`])("the map %j is broken", (text) => {
  expect(() => numbersOf(text)).toThrow(BuildError);
});

// Each block's work must not grow with the blocks before: these would not end in a test's time.
test("a map of very many runs is read block by block", () => {
  const runs = 400_000;
  const text = `${runs}\n${Array.from({ length: runs }, (_, n) => `${2 * n}\n1\n`).join("")}`;
  expect(numbersOf(text)).toHaveLength(2 * runs);
});

test("very many blocks of the old format's runs are read one by one", () => {
  let sparse: OldSparse = { realSize: 1, numbers: [], hasMore: true };
  const block = Buffer.alloc(BLOCK, "00000000001\0");
  for (let n = 0; n < 40_000; n += 1) sparse = oldSparseExtension(block, sparse);
  expect(sparse.numbers).toHaveLength(42 * 40_000);
  expect(() => known(1, sparse.numbers)).toThrow(BuildError);
});
