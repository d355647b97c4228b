import { expect, test } from "vitest";
import { goDuration, goList, goQuote, goQuoteList } from "./go-format.ts";

test.each([
  ["a b", '"a b"'],
  ['say "hi"', '"say \\"hi\\""'],
  ["back\\slash", '"back\\\\slash"'],
  ["tab\tnewline\nbell\u0007", '"tab\\tnewline\\nbell\\a"'],
  ["\u0001", '"\\x01"'],
  ["\u007f", '"\\x7f"'],
  ["é ☺ 😀", '"é ☺ 😀"'],
  ["\u00a0", '"\\u00a0"'],
  ["\ufeff", '"\\ufeff"'],
  ["\u{e0001}", '"\\U000e0001"'],
  ["", '""'],
])("quotes %j as Go's %%q does", (text, quoted) => {
  expect(goQuote(text)).toBe(quoted);
});

test("writes lists as Go's %q and %v do", () => {
  expect([goQuoteList(["a", "b c"]), goQuoteList([]), goList(["a", "b c"]), goList([])]).toEqual([
    '["a" "b c"]',
    "[]",
    "[a b c]",
    "[]",
  ]);
});

test.each([
  [0, "0s"],
  [1, "1ns"],
  [1_100, "1.1µs"],
  [2_200_000, "2.2ms"],
  [250_000_000, "250ms"],
  [1_500_000_000, "1.5s"],
  [30_000_000_000, "30s"],
  [60_000_000_000, "1m0s"],
  [90_000_000_000, "1m30s"],
  [3_600_000_000_000, "1h0m0s"],
  [5_425_250_000_000, "1h30m25.25s"],
  [-1_000_000, "-1ms"],
])("%i nanoseconds are %s", (nanoseconds, text) => {
  expect(goDuration(nanoseconds)).toBe(text);
});
