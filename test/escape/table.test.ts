import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PROJECT } from "../e2e/harness.ts";
import { escapeTable } from "./attempts.ts";

test("docs/security.md has the table of the attempts", () => {
  const page = readFileSync(join(PROJECT, "docs/security.md"), "utf8");
  expect(/<!-- escapes -->\n([\s\S]*)\n<!-- \/escapes -->/.exec(page)?.[1]).toBe(escapeTable());
});
