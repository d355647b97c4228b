import { expect, test } from "vitest";
import { fit, pad, textWidth } from "./width.ts";

test.each([
  { name: "letters", text: "make -j4", width: 8 },
  { name: "Chinese and Japanese", text: "日本語", width: 6 },
  { name: "Korean in parts", text: "\u1112\u1161\u11ab", width: 2 },
  { name: "full width letters", text: "ＡＢ", width: 4 },
  { name: "a letter with a combining accent", text: "e\u0301", width: 1 },
  { name: "an emoji", text: "🚀", width: 2 },
  { name: "a family of joined emoji", text: "👩‍👩‍👧", width: 2 },
  { name: "an emoji with a skin tone", text: "👍🏽", width: 2 },
  { name: "a sign shown as an emoji", text: "⚠\ufe0f", width: 2 },
  { name: "a flag", text: "🇯🇵", width: 2 },
  { name: "box drawing", text: "├──", width: 3 },
  { name: "a Devanagari syllable", text: "नि", width: 1 },
  { name: "a zero width space", text: "a\u200bb", width: 2 },
])("$name: $width columns", ({ text, width }) => {
  expect(textWidth(text)).toBe(width);
});

test.each([
  { text: "abcdef", columns: 6, fitted: "abcdef" },
  { text: "abcdefg", columns: 6, fitted: "abc..." },
  { text: "日本語日本語", columns: 8, fitted: "日本..." },
  { text: "👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧", columns: 5, fitted: "👩‍👩‍👧..." },
  { text: "a\tb", columns: 3, fitted: "a b" },
  { text: "abcdef", columns: 2, fitted: ".." },
  { text: "abcdef", columns: 0, fitted: "" },
])("$text in $columns columns is $fitted", ({ text, columns, fitted }) => {
  expect(fit(text, columns)).toBe(fitted);
  expect(textWidth(fit(text, columns))).toBeLessThanOrEqual(columns);
});

test("blanks fill what is left of a row", () => {
  expect(pad("日本", 6)).toBe("日本  ");
  expect(pad("日本語", 4)).toBe("日本語");
});
