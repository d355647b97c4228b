import { expect, test } from "vitest";
import { didYouMean, suggest } from "./suggest.ts";

test.each([
  { name: "a swap of neighbours", word: "COYP", candidates: ["ADD", "COPY"], found: "COPY" },
  { name: "two missing letters", word: "set", candidates: ["unset"], found: "unset" },
  { name: "another casing", word: "Builder", candidates: ["bilder"], found: "bilder" },
  { name: "the nearest of several", word: "chown", candidates: ["chmod", "chowm"], found: "chowm" },
  { name: "nothing three letters away", word: "parents", candidates: ["par"], found: undefined },
  { name: "nothing for a word of one letter", word: "@", candidates: ["a", "r1"], found: undefined },
  { name: "nothing of nothing", word: "x", candidates: [], found: undefined },
])("suggests $name", ({ word, candidates, found }) => {
  expect(suggest(word, candidates)).toBe(found);
});

test("a suggestion reads as the end of a sentence", () => {
  expect(didYouMean("RUNN", ["RUN"])).toBe(' (did you mean "RUN"?)');
  expect(didYouMean("RUNN", ["LABEL"])).toBe("");
});
