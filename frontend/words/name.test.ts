import fc from "fast-check";
import { expect, test } from "vitest";
import { nameAt } from "./name.ts";

test.each([
  { text: "$PATH/x", name: "PATH" },
  { text: "$a_1-b", name: "a_1" },
  { text: "$10x", name: "10" },
  { text: "$1a", name: "1" },
  { text: "$?x", name: "?" },
  { text: "$", name: "" },
  { text: "$ a", name: "" },
  { text: "$gr\u00f6\u00dfe ", name: "gr\u00f6\u00dfe" },
  { text: "$1\u0662 ", name: "1\u0662" },
  { text: "$\u{1d7d8}a", name: "\u{1d7d8}" },
])("in $text the name is $name", ({ text, name }) => {
  expect(nameAt(text, 1)).toBe(name);
});

test("the fast path for ASCII names agrees with Unicode's classes", () => {
  const unit = fc.constantFrom(..."aZ_09-@*#?$! .{}".split(""), "\u00e9", "\u0662", "\u0301", "\u{1d7d8}", "\ud800");
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 8 }), (text) => {
      const digits = /^\p{Nd}+/u.exec(text)?.[0];
      const special = /^[@*#?$!-]/.exec(text)?.[0];
      const expected = digits ?? special ?? /^[\p{L}\p{Nd}_]+/u.exec(text)?.[0] ?? "";
      expect(nameAt(text, 0)).toBe(expected);
    }),
    { numRuns: 3000 },
  );
});
