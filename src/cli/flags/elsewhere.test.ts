import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Cli } from "../command.ts";
import { createProgram } from "../program.ts";
import { ELSEWHERE, refuseElsewhere } from "./elsewhere.ts";

const PAGE = readFileSync(join(import.meta.dirname, "../../../docs/migrating.md"), "utf8");
/** The flags in the first columns of the page's tables. */
const DOCUMENTED = new Set(
  [...PAGE.matchAll(/^\|(.*?[^\\])\|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/--([a-z][a-z-]*)/g)].map(([, name = ""]) => name),
  ),
);
const [BUILD] = (await createProgram({} as Cli, ["build"])).commands;
const OWN = new Set((BUILD?.options ?? []).map((option) => (option.long ?? "").slice(2)));

test("docs/migrating.md and the command line know the same flags of other builders", () => {
  expect([...DOCUMENTED].filter((name) => !OWN.has(name)).toSorted()).toEqual(Object.keys(ELSEWHERE).toSorted());
});

test("no flag of kiln is refused as another builder's", () => {
  expect(Object.keys(ELSEWHERE).filter((name) => OWN.has(name))).toEqual([]);
  expect(() => refuseElsewhere("build", "--tag")).not.toThrow();
  expect(() => refuseElsewhere("images", "--format")).not.toThrow();
});

test("the error names kiln's way", () => {
  expect(() => refuseElsewhere("build", "--destination")).toThrow(
    expect.objectContaining({ code: "cli/usage", hint: "use --push -t NAME" }),
  );
});
