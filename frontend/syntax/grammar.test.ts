import { expect, test } from "vitest";
import { ArgumentGrammar } from "./grammar.ts";

test("chevrotain finds nothing ambiguous in the grammar", () => {
  expect(() => new ArgumentGrammar("check")).not.toThrow();
});
