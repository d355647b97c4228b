import { posix } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { cleanPath } from "./clean-path.ts";

test.each([
  ["", "."],
  ["abc", "abc"],
  ["abc/def", "abc/def"],
  ["a/b/c/", "a/b/c"],
  ["a//b", "a/b"],
  ["./a", "a"],
  ["a/./b", "a/b"],
  ["..", ".."],
  ["../..", "../.."],
  ["../../abc", "../../abc"],
  ["/", "/"],
  ["/..", "/"],
  ["/../a", "/a"],
  ["a/../b", "b"],
  ["a/..", "."],
  ["a/../..", ".."],
  ["a/b/../../../c", "../c"],
  ["///a", "/a"],
])('cleans "%s" to "%s"', (path, cleaned) => {
  expect(cleanPath(path)).toBe(cleaned);
});

test("cleans every path as Node does, but for a slash at the end", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("/", ".", "a", ".b"), maxLength: 10 }), (path) => {
      expect(cleanPath(path)).toBe(posix.normalize(path).replace(/(.)\/$/, "$1"));
    }),
    { numRuns: 2000 },
  );
});
