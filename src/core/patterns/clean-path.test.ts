import { expect, test } from "vitest";
import { cleanPath, joinPath } from "./clean-path.ts";

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

test("joins what is not empty", () => {
  expect([joinPath("/a", "b/"), joinPath("", "b"), joinPath("", ""), joinPath("a", "../..", "c")]).toEqual([
    "/a/b",
    "b",
    "",
    "../c",
  ]);
});
