import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sourceStack } from "./source-stack.ts";

const BUILD = join(import.meta.dirname, "../../build");
const isBuilt = existsSync(join(BUILD, "kiln.cjs.map"));
if (!isBuilt) console.warn("skipped: stacks of the bundle: it is not built");

test.skipIf(!isBuilt)("a stack of the bundle names the sources, also behind characters that were escaped", () => {
  const lines = readFileSync(join(BUILD, "kiln.cjs"), "latin1").split("\n");
  const line = lines.findIndex((text) => text.includes("this is a bug in kiln"));
  const column = (lines[line] ?? "").indexOf("this is a bug in kiln");
  const stack = `Error: x\n    at printError (/opt/kiln/build/kiln.cjs:${line + 1}:${column + 1})\n    at node:internal/x:1:2`;
  const [, frame = "", last] = sourceStack(stack, BUILD).split("\n");
  expect(last).toBe("    at node:internal/x:1:2");
  const [, file = "", place = ""] = /^ {4}at printError \((.*):(\d+):\d+\)$/.exec(frame) ?? [];
  expect(file).toBe("src/cli/print-error.ts");
  const source = readFileSync(join(import.meta.dirname, "print-error.ts"), "utf8").split("\n");
  expect(source[Number(place) - 1]).toContain("this is a bug in kiln");
});

test.skipIf(!isBuilt)("a stack of a part that is loaded late names the sources", () => {
  const lines = readFileSync(join(BUILD, "late/rmi.cjs"), "latin1").split("\n");
  const line = lines.findIndex((text) => text.includes("Untagged: "));
  const column = (lines[line] ?? "").indexOf("Untagged: ");
  const place = `/opt/kiln/build/late/rmi.cjs:${line + 1}:${column + 1}`;
  expect(sourceStack(`Error: x\n    at run (${place})`, BUILD)).toMatch(
    /at run \(src\/cli\/commands\/rmi\.ts:\d+:\d+\)$/,
  );
});

test("a stack without a map is left as it is", () => {
  const stack = "Error: x\n    at f (/nowhere/kiln.cjs:1:2)";
  expect(sourceStack(stack, "/nowhere")).toBe(stack);
});

test("a place of the bundle that no source has is left as it is", () => {
  const folder = mkdtempSync(join(tmpdir(), "kiln-stack-"));
  try {
    const map = { version: 3, file: "x.cjs", names: [], sources: ["a.ts"], mappings: "A,KAAA" };
    writeFileSync(join(folder, "x.cjs.map"), JSON.stringify(map));
    expect(sourceStack("at f (/b/x.cjs:1:2)\nat g (/b/x.cjs:1:7)", folder)).toBe(
      "at f (/b/x.cjs:1:2)\nat g (a.ts:1:1)",
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
