import { expect, test } from "vitest";
import { SourceText } from "./span.ts";
import { didYouMean, suggest } from "./suggest.ts";

test("positions count lines and columns from 1", () => {
  const source = new SourceText("Dockerfile", "FROM a\r\nRUN b\n\nRUN c");
  expect(source.positionAt(0)).toEqual({ line: 1, column: 1, offset: 0 });
  expect(source.positionAt(8)).toEqual({ line: 2, column: 1, offset: 8 });
  expect(source.positionAt(14)).toEqual({ line: 3, column: 1, offset: 14 });
  expect(source.positionAt(999)).toEqual({ line: 4, column: 6, offset: 20 });
  expect([1, 2, 3, 4, 5].map((line) => source.line(line))).toEqual(["FROM a", "RUN b", "", "RUN c", ""]);
});

test.each([
  { word: "COPPY", expected: "COPY" },
  { word: "cmd", expected: "CMD" },
  { word: "ENTRYPIONT", expected: "ENTRYPOINT" },
  { word: "XYZZY", expected: undefined },
])("$word most likely means $expected", ({ word, expected }) => {
  expect(suggest(word, ["COPY", "CMD", "ENTRYPOINT", "RUN"])).toBe(expected);
});

test("didYouMean is empty when nothing is close", () => {
  expect(didYouMean("RUM", ["RUN"])).toBe(' (did you mean "RUN"?)');
  expect(didYouMean("zzzz", ["RUN"])).toBe("");
});
