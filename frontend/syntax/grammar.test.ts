import { expect, test } from "vitest";
import { InstructionGrammar } from "./grammar.ts";

test("chevrotain finds nothing ambiguous in the grammar", () => {
  expect(() => new InstructionGrammar("check")).not.toThrow();
});
