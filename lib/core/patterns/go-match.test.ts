import fc from "fast-check";
import { expect, test } from "vitest";
import { compileGoPattern, hasWildcards } from "./go-match.ts";

const goMatch = (pattern: string, name: string): boolean => compileGoPattern(pattern)(name);

test.each([
  { pattern: "abc", name: "abc", is: true },
  { pattern: "*", name: "abc", is: true },
  { pattern: "*c", name: "abc", is: true },
  { pattern: "a*", name: "a", is: true },
  { pattern: "a*", name: "abc", is: true },
  { pattern: "a*", name: "ab/c", is: false },
  { pattern: "a*/b", name: "abc/b", is: true },
  { pattern: "a*/b", name: "a/c/b", is: false },
  { pattern: "a*b*c*d*e*/f", name: "axbxcxdxe/f", is: true },
  { pattern: "a*b*c*d*e*/f", name: "axbxcxdxexxx/f", is: true },
  { pattern: "a*b*c*d*e*/f", name: "axbxcxdxe/xxx/f", is: false },
  { pattern: "a*b?c*x", name: "abxbbxdbxebxczzx", is: true },
  { pattern: "a*b?c*x", name: "abxbbxdbxebxczzy", is: false },
  { pattern: "ab[c]", name: "abc", is: true },
  { pattern: "ab[b-d]", name: "abc", is: true },
  { pattern: "ab[e-g]", name: "abc", is: false },
  { pattern: "ab[^c]", name: "abc", is: false },
  { pattern: "ab[^e-g]", name: "abc", is: true },
  { pattern: "a\\*b", name: "a*b", is: true },
  { pattern: "a\\*b", name: "ab", is: false },
  { pattern: "a?b", name: "a☺b", is: true },
  { pattern: "a[^a]b", name: "a☺b", is: true },
  { pattern: "a???b", name: "a☺b", is: false },
  { pattern: "a[^a][^a][^a]b", name: "a☺b", is: false },
  { pattern: "[a-ζ]*", name: "α", is: true },
  { pattern: "*[a-ζ]", name: "A", is: false },
  { pattern: "a?b", name: "a/b", is: false },
  { pattern: "a*b", name: "a/b", is: false },
  { pattern: "[\\]a]", name: "]", is: true },
  { pattern: "[\\-]", name: "-", is: true },
  { pattern: "[x\\-]", name: "x", is: true },
  { pattern: "[x\\-]", name: "z", is: false },
  { pattern: "[\\-x]", name: "-", is: true },
  { pattern: "*x", name: "xxx", is: true },
  { pattern: "a]b", name: "a]b", is: true },
  { pattern: "[a/]b", name: "/b", is: true },
  { pattern: "*/*", name: "a/", is: true },
  { pattern: "a**", name: "abc", is: true },
  { pattern: "**/b", name: "a/c/b", is: false },
  { pattern: "", name: "", is: true },
  { pattern: "", name: "a", is: false },
  { pattern: "*", name: "", is: true },
  { pattern: "?", name: "😀", is: true },
  // A byte that is not UTF-8 is one character, and so is the character that stands for one.
  { pattern: "a?b", name: "a\udcffb", is: true },
  { pattern: "a??b", name: "a\udcc3\udcc3b", is: true },
  { pattern: "a[^x]b", name: "a\udcffb", is: true },
  { pattern: "a?b", name: "a\ufffdb", is: true },
  { pattern: "file[[]0].txt", name: "file[0].txt", is: true },
])('pattern "$pattern" and name "$name": $is', ({ pattern, name, is }) => {
  expect(goMatch(pattern, name)).toBe(is);
});

test.each(["[]a]", "[", "[^", "[^bc", "a[", "[-]", "[x-]", "[-x]", "[a-b-c]", "a\\", "abc[", "[\\", "[a"])(
  'pattern "%s" is malformed, even when the name already differs',
  (pattern) => {
    expect(() => compileGoPattern(pattern)).toThrow(/Cannot read pattern/);
  },
);

test("takes bounded time on patterns made to backtrack", () => {
  expect(goMatch(`${"*a".repeat(5000)}b`, "a".repeat(20_000))).toBe(false);
});

test("never throws anything but a malformed pattern", () => {
  expect(() =>
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("*", "?", "[", "]", "^", "-", "\\", "/", "a", "b", "☺") }),
        fc.string(),
        (pattern, name) => {
          try {
            return typeof goMatch(pattern, name) === "boolean";
          } catch (error) {
            return error instanceof Error && error.name === "BuildError";
          }
        },
      ),
    ),
  ).not.toThrow();
});

test("a name matches itself with its special characters behind backslashes", () => {
  expect(() =>
    fc.assert(
      fc.property(fc.string(), (name) => goMatch(name.replace(/[*?[\\]/g, "\\$&"), name)),
      { numRuns: 300 },
    ),
  ).not.toThrow();
});

test.each([
  { path: "a/b", is: false },
  { path: "a*", is: true },
  { path: "a?", is: true },
  { path: "a[b]", is: true },
  { path: "a\\*", is: false },
  { path: "a\\\\*", is: true },
])('"$path" is a pattern: $is', ({ path, is }) => {
  expect(hasWildcards(path)).toBe(is);
});
