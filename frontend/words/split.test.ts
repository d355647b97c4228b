import fc from "fast-check";
import { expect, test } from "vitest";
import { splitWords } from "./split.ts";

const split = (text: string, escape: "\\" | "`" = "\\"): string[] =>
  splitWords(text, escape).map(({ start, end }) => text.slice(start, end));

test.each([
  { name: "blanks", text: " a=b\tc=d  ", words: ["a=b", "c=d"] },
  { name: "double quotes", text: 'a="b c" d', words: ['a="b c"', "d"] },
  { name: "single quotes", text: "a='b c' d", words: ["a='b c'", "d"] },
  { name: "quotes in quotes", text: `a="it's b" c`, words: [`a="it's b"`, "c"] },
  { name: "an escaped blank", text: "a=b\\ c d", words: ["a=b\\ c", "d"] },
  { name: "an escaped quote", text: 'a=\\"b c', words: ['a=\\"b', "c"] },
  { name: "an escaped quote in quotes", text: 'a="b\\" c" d', words: ['a="b\\" c"', "d"] },
  { name: "no escapes in single quotes", text: "a='b\\' c", words: ["a='b\\'", "c"] },
  { name: "an open quote", text: 'a="b c', words: ['a="b c'] },
  { name: "nothing", text: "  ", words: [] },
  { name: "an empty quoted word", text: 'a "" b', words: ["a", '""', "b"] },
  { name: "white space of Unicode", text: "a\u00a0b\u3000c", words: ["a", "b", "c"] },
])("splits $name", ({ text, words }) => {
  expect(split(text)).toEqual(words);
});

test("escapes with the character of the directive", () => {
  expect(split("a=b` c\\ d", "`")).toEqual(["a=b` c\\", "d"]);
});

test("words that are joined again split the same", () => {
  const word = fc.oneof(
    fc.stringMatching(/^[a-z=$]+$/),
    fc.stringMatching(/^"[a-z ]*"$/),
    fc.stringMatching(/^'[a-z \\]*'$/),
    fc.constant("a\\ b"),
  );
  fc.assert(
    fc.property(fc.array(word), (words) => {
      expect(split(words.join("  "))).toEqual(words);
    }),
  );
});
