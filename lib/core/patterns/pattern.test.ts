import fc from "fast-check";
import { expect, test } from "vitest";
import { compilePattern } from "./pattern.ts";

/** Implements the rules a second time, as plainly as possible and slowly. */
function slowMatch(pattern: string, path: string): boolean {
  if (pattern === "") return path === "";
  if (pattern.startsWith("**")) {
    const rest = pattern.slice(pattern[2] === "/" ? 3 : 2);
    if (rest === "") return true;
    if (slowMatch(rest, path)) return true;
    return Array.from(path, (char, at) => char === "/" && slowMatch(rest, path.slice(at + 1))).some(Boolean);
  }
  if (pattern.startsWith("*")) {
    const stop = path.indexOf("/") === -1 ? path.length : path.indexOf("/");
    return Array.from({ length: stop + 1 }, (_, at) => slowMatch(pattern.slice(1), path.slice(at))).some(Boolean);
  }
  if (path === "") return false;
  if (pattern.startsWith("?")) return path[0] !== "/" && slowMatch(pattern.slice(1), path.slice(1));
  return pattern[0] === path[0] && slowMatch(pattern.slice(1), path.slice(1));
}

test("every way of matching agrees with the plain rules", () => {
  const pattern = fc.string({ unit: fc.constantFrom("*", "**/", "/", "a", "b", "?", "."), minLength: 1, maxLength: 9 });
  const path = fc.string({ unit: fc.constantFrom("/", "a", "b", ".", "a"), minLength: 1, maxLength: 9 });
  expect(() =>
    fc.assert(
      fc.property(pattern, path, (text, name) => {
        // A leading "**" before plain text is a suffix; pattern-matcher.test.ts tests it.
        if (/^\*\*[^/*?]/.test(text)) return true;
        return compilePattern(text)(name) === slowMatch(text, name);
      }),
      { numRuns: 20_000 },
    ),
  ).not.toThrow();
});

test("a class may match a slash, as in Go", () => {
  expect(compilePattern("a[^b]c")("a/c")).toBe(true);
  expect(compilePattern("*a*a*a[^b]c")("xaxaxa/c")).toBe(true);
});

test("a range that runs backwards is no pattern", () => {
  expect(() => compilePattern("[z-a]")).toThrow(/z-a runs backwards/);
});
