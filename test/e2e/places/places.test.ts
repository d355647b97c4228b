import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT, temporary } from "../harness.ts";
import { buildIn, type Built, writeContexts } from "./builds.ts";
import { CASES } from "./dockerfiles.ts";
import { KNOWN } from "./known.ts";
import { type Place, PLACES } from "./places.ts";
import { tableOfPlaces } from "./table.ts";

const [root] = PLACES;
if (root === undefined) throw new Error("There is no place to compare with");

/** Made once for each place; root's first, when one is asked for that is compared with it. */
const built = new Map<Place, ReadonlyMap<string, Built>>();

describe.skipIf(root.why !== undefined)("the same image in every place", { timeout: 300_000 }, () => {
  const folder = temporary();
  const resultOf = (place: Place, name: string): Built => {
    const results = built.get(place) ?? buildIn(place, folder.path, CASES);
    built.set(place, results);
    const result = results.get(name);
    if (result === undefined) throw new Error(`There is no case ${name}`);
    return result;
  };
  beforeAll(() => writeContexts(folder.path, CASES));
  // KILN_TEST_KEEP leaves the places' folders there, to look at.
  if (process.env["KILN_TEST_KEEP"] === undefined) afterAll(() => folder[Symbol.dispose]());
  else console.warn(folder.path);

  test.each(CASES)("root builds $name", ({ name }) => {
    const made = resultOf(root, name);
    expect(made).toMatchObject({ kind: "layers" });
  });

  describe.each(PLACES.slice(1))("$name", (place) => {
    if (place.why !== undefined) console.warn(`"${place.name}" is skipped: ${place.why}`);

    test.skipIf(place.why !== undefined).each(CASES.filter(({ runs }) => place.runs || !runs))("$name", ({ name }) => {
      const made = resultOf(place, name);
      const lines = differences(resultOf(root, name), made);
      const known = KNOWN.filter((one) => one.places.test(place.name) && one.cases.includes(name));
      expect(lines.filter((line) => !known.some((one) => one.lines.test(line)))).toEqual([]);
      // What is not different any more is to be struck off the list.
      expect(known.filter((one) => !lines.some((line) => one.lines.test(line)))).toEqual([]);
    });

    test.skipIf(place.why !== undefined || place.runs)("a RUN fails with one error that says why", () => {
      const { kind, stderr } = resultOf(place, "heredocs");
      expect(kind).toBe("failed");
      const known = KNOWN.some((one) => one.places.test(place.name) && one.lines.test(`! ${reasonOf(stderr)}`));
      if (!known) expect(stderr.match(/^error/gm)).toHaveLength(1);
    });
  });
});

test("docs/rootless.md has the table of what differs", () => {
  expect(readFileSync(join(PROJECT, "docs/rootless.md"), "utf8")).toContain(tableOfPlaces());
});

/** Entries, by layer, that only one of two results has, and layers whose bytes differ though their entries do not. */
function differences(expected: Built, made: Built): readonly string[] {
  if (expected.kind === "failed") return ["! root cannot build it"];
  if (made.kind === "failed") return [`! ${reasonOf(made.stderr)}`];
  const count = Math.max(expected.layers.length, made.layers.length);
  return Array.from({ length: count }, (_, index) => {
    const [left, right] = [expected.layers[index], made.layers[index]];
    if (left === undefined || right === undefined) return [`${left === undefined ? "+" : "-"} ${index}: a layer`];
    if (left.digest === right.digest) return [];
    const [before, after] = [new Set(left.entries), new Set(right.entries)];
    const lines = [
      ...left.entries.filter((line) => !after.has(line)).map((line) => `- ${index}: ${line}`),
      ...right.entries.filter((line) => !before.has(line)).map((line) => `+ ${index}: ${line}`),
    ];
    return lines.length > 0 ? lines : [`+ ${index}: other bytes for the same entries`];
  }).flat();
}

/** The line that says why a build failed; the last one where there is none. */
function reasonOf(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  return lines.find((line) => line.startsWith("error")) ?? `no error, but: ${lines.at(-1) ?? ""}`;
}
