import fc from "fast-check";
import { expect, test } from "vitest";
import { PatternError, removePrefix, removeSuffix, replacePattern } from "./pattern.ts";

/** A pattern as a regular expression: slow on bad ones, but plainly right. */
function toRegExp(pattern: string, star: ".*" | ".*?", flags: string): RegExp {
  const source = pattern.replaceAll(/\*|\?|[^*?]/gu, (char) =>
    char === "*" ? star : char === "?" ? "." : `\\u{${hex(char)}}`,
  );
  return new RegExp(source.replaceAll(".", "[^\\n]"), flags);
}

function hex(char: string): string {
  return (char.codePointAt(0) ?? 0).toString(16);
}

const pattern = fc.string({ unit: fc.constantFrom("a", "b", "*", "?", "\n"), maxLength: 8 });
const value = fc.string({ unit: fc.constantFrom("a", "b", "\n", "\u{1f600}"), maxLength: 12 });

test("removes the prefix that a regular expression would", () => {
  fc.assert(
    fc.property(pattern, value, fc.constantFrom("shortest", "longest"), (shape, text, prefer) => {
      const match = toRegExp(shape, prefer === "longest" ? ".*" : ".*?", "uy").exec(text);
      expect(removePrefix(shape, text, prefer)).toBe(match === null ? text : text.slice(match[0].length));
    }),
    { numRuns: 3000 },
  );
});

test("replaces the first match that a regular expression would", () => {
  fc.assert(
    fc.property(pattern, value, (shape, text) => {
      const expected = text.replace(toRegExp(shape, ".*", "u"), "X");
      expect(replacePattern(shape, text, { text: "X", count: "first" }, 1000)).toBe(expected);
    }),
    { numRuns: 3000 },
  );
});

test("a suffix is a prefix read backwards", () => {
  fc.assert(
    fc.property(pattern, value, (shape, text) => {
      const backwards = (word: string): string => Array.from(word).toReversed().join("");
      const expected = backwards(removePrefix(backwards(shape), backwards(text), "longest"));
      expect(removeSuffix(shape, text, "longest")).toBe(expected);
    }),
  );
});

test.each([
  { pattern: "", value: "ab", text: "XaXbX" },
  { pattern: "*", value: "ab", text: "X" },
  { pattern: "a*", value: "xaab", text: "xX" },
  { pattern: "*", value: "a\nb", text: "X\nX" },
  { pattern: "?", value: "a\nb", text: "X\nX" },
  { pattern: "**", value: "ab", text: "X" },
])("every $pattern in $value is replaced once", ({ pattern: shape, value: text, text: expected }) => {
  expect(replacePattern(shape, text, { text: "X", count: "all" }, 1000)).toBe(expected);
});

test.each([{ escape: "\\a" }, { escape: "\\" }, { escape: "a\\[" }])("refuses the escape in $escape", ({ escape }) => {
  expect(() => removePrefix(escape, "x", "longest")).toThrow(PatternError);
});
