import { expect, test } from "vitest";
import { BuildError } from "../../lib/core/errors.ts";
import { SourceText } from "../../lib/core/span.ts";
import { parseIgnoreFile } from "./ignore-file.ts";

const patternsOf = (text: string): string[] =>
  parseIgnoreFile(new SourceText(".dockerignore", text)).patterns.map((pattern) => pattern.text);

test.each([
  { name: "one per line", text: "a\nb\n", patterns: ["a", "b"] },
  { name: "no line end at the end", text: "a\nb", patterns: ["a", "b"] },
  { name: "blanks around", text: "  a b \t\n", patterns: ["a b"] },
  { name: "CRLF", text: "a\r\nb\r\n", patterns: ["a", "b"] },
  { name: "a byte order mark", text: "\uFEFFa\n", patterns: ["a"] },
  { name: "a comment after a byte order mark", text: "\uFEFF#x\na\n", patterns: ["a"] },
  { name: "comments", text: "# no\na # yes\n", patterns: ["a # yes"] },
  { name: "an indented comment, which is none", text: "  # a\n", patterns: ["# a"] },
  { name: "empty lines", text: "\n\n  \na\n", patterns: ["a"] },
  { name: "slashes and dots", text: "/a\n./b/\nc//d\ne/../f\n", patterns: ["a", "b", "c/d", "f"] },
  { name: "the root", text: "/\n", patterns: ["/"] },
  { name: "exceptions", text: "!a\n! /b/\n!\t./c\n", patterns: ["!a", "!b", "!c"] },
  { name: "two exclamation marks", text: "!!a\n", patterns: ["!!a"] },
  { name: "wildcards", text: "**/*.md\n[ab]?\n", patterns: ["**/*.md", "[ab]?"] },
  { name: "nothing", text: "", patterns: [] },
])("reads $name", ({ text, patterns }) => {
  expect(patternsOf(text)).toEqual(patterns);
});

test("points at the pattern, blanks left out", () => {
  const [first, second] = parseIgnoreFile(new SourceText(".dockerignore", "\uFEFF a\n  !b/ \n")).patterns;
  expect([first?.span.start.column, first?.span.end.column]).toEqual([3, 4]);
  expect([second?.span.start.line, second?.span.start.column, second?.span.end.column]).toEqual([2, 3, 6]);
});

test("names every bad line at once", () => {
  const caught = (): BuildError | undefined => {
    try {
      patternsOf("a\n!\n[x\n[Local-Only]/\nb\\\n");
      return undefined;
    } catch (error) {
      return error instanceof BuildError ? error : undefined;
    }
  };
  const error = caught();
  expect([error?.code, error?.span?.start.line, error?.more.map((other) => other.span?.start.line)]).toEqual([
    "dockerfile/ignore-file",
    2,
    [3, 4, 5],
  ]);
});
