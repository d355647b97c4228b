import fc from "fast-check";
import { expect, test } from "vitest";
import { cleanPath } from "./clean-path.ts";
import { PatternMatcher } from "./pattern-matcher.ts";
import { compilePattern } from "./pattern.ts";

test.each([
  { patterns: ["**"], path: "file", is: true },
  { patterns: ["**"], path: "dir/file", is: true },
  { patterns: ["**/"], path: "file", is: true },
  { patterns: ["**/**"], path: "dir/file", is: true },
  { patterns: ["dir/**"], path: "dir", is: false },
  { patterns: ["dir/**"], path: "dir/file", is: true },
  { patterns: ["dir/**"], path: "dir/dir2/file", is: true },
  { patterns: ["**/dir"], path: "dir/file", is: true },
  { patterns: ["**/dir2/*"], path: "dir/dir2/file", is: true },
  { patterns: ["**/dir2/**"], path: "dir/dir2/dir2/file", is: true },
  { patterns: ["**file"], path: "file", is: true },
  { patterns: ["**file"], path: "dir/file", is: true },
  { patterns: ["**file"], path: "dir/xfile", is: true },
  { patterns: ["**/file"], path: "dir/xfile", is: false },
  { patterns: ["**/file*txt"], path: "dir/file.txt", is: true },
  { patterns: ["**/file*.txt*"], path: "dir/dir/file.txt.bak", is: true },
  { patterns: ["a**/*.txt"], path: "a/b/file.txt", is: true },
  { patterns: ["a**/*.txt"], path: "a/file.txt", is: true },
  { patterns: ["a/**/b"], path: "a/b", is: true },
  { patterns: ["a/**/b"], path: "a/x/y/b", is: true },
  { patterns: ["a/*/b"], path: "a/x/y/b", is: false },
  { patterns: ["a/**/*.txt"], path: "a/file.txt", is: true },
  { patterns: ["a/*.txt"], path: "a/b/file.txt", is: false },
  { patterns: ["foo"], path: "a/foo", is: false },
  { patterns: ["foo"], path: "foo/a/b", is: true },
  { patterns: ["foo/"], path: "foo", is: true },
  { patterns: ["./foo"], path: "foo", is: true },
  { patterns: ["foo/../bar"], path: "bar", is: true },
  { patterns: ["abc.def"], path: "abcXdef", is: false },
  { patterns: ["abc?def"], path: "abcZdef", is: true },
  { patterns: ["a.|)$(}+{bc"], path: "a.|)$(}+{bc", is: true },
  { patterns: ["a(*)"], path: "a(x)", is: true },
  { patterns: ["[a-d]*"], path: "cat", is: true },
  { patterns: ["[^a-d]*"], path: "cat", is: false },
  { patterns: ["a\\*b"], path: "a*b", is: true },
  { patterns: ["a\\*b"], path: "axb", is: false },
  { patterns: ["*"], path: "a/b", is: true },
  { patterns: [".*"], path: ".git/config", is: true },
  { patterns: ["*.go"], path: "ü.go", is: true },
  { patterns: ["?.go"], path: "😀.go", is: true },
  { patterns: ["**/.dockerignore"], path: ".dockerignore", is: true },
  { patterns: ["  foo  "], path: "foo", is: true },
  { patterns: ["", "  "], path: "foo", is: false },
  { patterns: ["*", "!a"], path: "a", is: false },
  { patterns: ["*", "!a"], path: "a/b", is: false },
  { patterns: ["*", "!a/b"], path: "a/b", is: false },
  { patterns: ["*", "!a/b"], path: "a/c", is: true },
  { patterns: ["*", "!a", "a/b"], path: "a/b/c", is: true },
  { patterns: ["!a", "a"], path: "a", is: true },
  { patterns: ["a", "!a/*", "a/b"], path: "a/b", is: true },
  { patterns: ["a", "!a/*", "a/b"], path: "a/c", is: false },
  { patterns: ["**", "!**/*.md"], path: "docs/x.md", is: false },
  // Both follow BuildKit's walk; trying each pattern on every parent would give another result.
  { patterns: ["a/b", "!a"], path: "a/b/f", is: true },
  { patterns: ["d", "!d/e", "d"], path: "d/e/h", is: false },
])('patterns $patterns exclude "$path": $is', ({ patterns, path, is }) => {
  expect(new PatternMatcher(patterns).matches(path)).toBe(is);
});

test.each([["!"], ["a", " ! "], ["[a"], ["a\\"], ["![]"], ["[Local-Only]/"], ["a", "!**/[b-a]*"], ["[^b-a]"]])(
  "refuses %s",
  (...patterns) => {
    expect(() => new PatternMatcher(patterns)).toThrow(/Cannot (read|use)/);
  },
);

test.each([
  { patterns: ["node_modules"], directory: "node_modules", is: false },
  { patterns: ["a", "!b"], directory: "a", is: false },
  { patterns: ["a", "!a/keep"], directory: "a", is: true },
  { patterns: ["a", "!a/keep"], directory: "a/other", is: false },
  { patterns: ["a", "!a/*/keep"], directory: "a/other", is: true },
  { patterns: ["a", "!a/*.md"], directory: "a/other", is: false },
  { patterns: ["a", "!**/keep"], directory: "a/x/y", is: true },
  { patterns: ["a", "!a/**"], directory: "a/x/y", is: true },
  { patterns: ["a", "!b/**"], directory: "a/x/y", is: false },
])("below $directory something may come back with $patterns: $is", ({ patterns, directory, is }) => {
  expect(new PatternMatcher(patterns).mayContainIncluded(directory)).toBe(is);
});

test("explains an exclusion by the position of the pattern that decided", () => {
  const matcher = new PatternMatcher(["*.log", "", "logs", "!logs/keep", "logs/keep/tmp"]);
  expect(["a.log", "logs/x", "logs/keep/a", "logs/keep/tmp/b", "src"].map((path) => matcher.explain(path))).toEqual([
    0,
    2,
    undefined,
    4,
    undefined,
  ]);
});

const somePattern = fc.string({ unit: fc.constantFrom("*", "**", "/", "a", "b", "?", "!", "[ab]", "."), maxLength: 8 });
const somePath = fc.array(fc.constantFrom("a", "b", "ab", "ba", ".a"), { minLength: 1, maxLength: 5 });

/** Makes a matcher of valid patterns; `undefined` for malformed ones, which other tests cover. */
function matcherOf(patterns: readonly string[]): PatternMatcher | undefined {
  try {
    return new PatternMatcher(patterns);
  } catch {
    return undefined;
  }
}

test("a directory that cannot contain anything included contains nothing included", () => {
  expect(() =>
    fc.assert(
      fc.property(fc.array(somePattern, { maxLength: 5 }), somePath, (patterns, names) => {
        const matcher = matcherOf(patterns);
        if (matcher === undefined) return true;
        const path = names.join("/");
        const parents = names.slice(0, -1).map((_, at) => names.slice(0, at + 1).join("/"));
        const pruned = parents.some((parent) => matcher.matches(parent) && !matcher.mayContainIncluded(parent));
        return !pruned || matcher.matches(path);
      }),
      { numRuns: 5000 },
    ),
  ).not.toThrow();
});

test("a walk gives the same answers as asking for one path", () => {
  expect(() =>
    fc.assert(
      fc.property(fc.array(somePattern, { maxLength: 5 }), somePath, (patterns, names) => {
        const matcher = matcherOf(patterns);
        if (matcher === undefined) return true;
        let parent = matcher.root;
        for (const at of names.keys()) {
          const path = names.slice(0, at + 1).join("/");
          if (matcher.matchesBelow(path, parent) !== matcher.matches(path)) return false;
          parent = matcher.enter(path, parent);
        }
        return true;
      }),
      { numRuns: 2000 },
    ),
  ).not.toThrow();
});

/** Applies the matcher's rules pattern by pattern, without an index. */
function excludedOneByOne(patterns: readonly string[], names: readonly string[]): boolean {
  const read = patterns
    .map((text) => cleanPath(text.trim()))
    .map((text) => ({ exclusion: text.startsWith("!"), matches: compilePattern(text.replace(/^!/, "")) }));
  let matched = read.map(() => false);
  let excluded = false;
  for (const at of names.keys()) {
    const path = names.slice(0, at + 1).join("/");
    excluded = false;
    matched = read.map(({ exclusion, matches }, index) => {
      const isMatch = matched[index] === true || (exclusion === excluded && matches(path));
      if (isMatch) excluded = !exclusion;
      return isMatch;
    });
  }
  return excluded;
}

const anyPattern = fc.string({
  unit: fc.constantFrom("*", "**", "/", "a", "b", "?", "!", "[ab]", ".", "\\", "a/", "**/a", "/**", "/**/", "*/"),
  minLength: 1,
  maxLength: 8,
});

test("the index leaves out no pattern that matters", () => {
  expect(() =>
    fc.assert(
      fc.property(fc.array(anyPattern, { maxLength: 6 }), somePath, (patterns, names) => {
        const matcher = matcherOf(patterns);
        if (matcher === undefined) return true;
        return matcher.matches(names.join("/")) === excludedOneByOne(patterns, names);
      }),
      { numRuns: 10_000 },
    ),
  ).not.toThrow();
});

test.each([
  { kind: "folders", pattern: (i: number) => `dir${String(i)}/` },
  { kind: "endings", pattern: (i: number) => `*.e${String(i)}` },
  { kind: "names anywhere", pattern: (i: number) => `**/n${String(i)}` },
  { kind: "parts of names", pattern: (i: number) => `*in${String(i)}*` },
  { kind: "exceptions", pattern: (i: number) => (i === 0 ? "**" : `!src/${String(i)}/*/z`) },
])("twenty thousand patterns cost little more than a few: $kind", ({ pattern }) => {
  const matcher = new PatternMatcher(Array.from({ length: 20_000 }, (_, i) => pattern(i)));
  const start = process.cpuUsage();
  for (let i = 0; i < 300; i += 1) {
    const path = `src/m${String(i)}/file.c`;
    matcher.matches(path);
    matcher.mayContainIncluded(`src/m${String(i)}`);
  }
  const { user, system } = process.cpuUsage(start);
  // 600 paths x 20,000 patterns one by one take many seconds.
  expect((user + system) / 1000).toBeLessThan(2500);
});

test("takes bounded time on patterns made to backtrack", () => {
  const patterns = [
    `${"*a".repeat(200)}b`,
    `${"**/a/".repeat(100)}b`,
    `${"a?*".repeat(100)}[b]`,
    `**${"*a".repeat(50)}b`,
  ];
  const matcher = new PatternMatcher(patterns);
  expect(matcher.matches("a".repeat(4000))).toBe(false);
  expect(matcher.matches("a/".repeat(150).slice(0, -1))).toBe(false);
});
