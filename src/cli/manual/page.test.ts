import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { CommandTable } from "../command-table.ts";
import { manualPages } from "./page.ts";

const ENTRY = {
  usage: "[options] <image>",
  flags: [
    { names: ["--tag", "-t"], value: "name", isOptional: false, text: "a name" },
    { names: ["--load"], value: "engine", isOptional: true, text: ".dotted \\ text" },
    { names: ["--rm"], isOptional: false, text: "nothing", group: "Others:" },
  ],
} as const;
const TABLE: CommandTable = {
  version: "1.0",
  kiln: { name: "", words: "kiln", text: "Builds images", examples: [], ...ENTRY, flags: [] },
  commands: [
    {
      name: "manifest-rm",
      words: "manifest rm",
      text: "forget lists",
      examples: [["kiln manifest rm x", "why"]],
      ...ENTRY,
    },
  ],
  groups: {},
};

test("a page has a command's flags, groups and examples, with everything escaped", () => {
  expect(manualPages(TABLE, "2026-11-30").get("kiln-manifest-rm.1")).toBe(
    String.raw`.TH KILN\-MANIFEST\-RM 1 2026-11-30 "kiln 1.0" "kiln"
.SH NAME
kiln\-manifest\-rm \- forget lists
.SH SYNOPSIS
\fBkiln manifest rm\fR [options] <image>
.SH DESCRIPTION
Forget lists.
.SH OPTIONS
.TP
\fB\-t\fR, \fB\-\-tag\fR \fIname\fR
A name.
.TP
\fB\-\-load\fR[=\fIengine\fR]
\&.dotted \e text.
.SS Others
.TP
\fB\-\-rm\fR
Nothing.
.SH EXAMPLES
.TP
\fBkiln manifest rm x\fR
Why.
.SH SEE ALSO
\fBkiln\fR(1)
`,
  );
});

const CHECKERS = [
  ["mandoc", ["-Tlint", "-Wwarning"]],
  ["groff", ["-ww", "-man", "-z"]],
] as const;
const root = join(import.meta.dirname, "../../..");

for (const [program, flags] of CHECKERS) {
  const isThere = spawnSync(program, ["--version"]).error === undefined;
  if (!isThere) console.warn(`the check of man pages by ${program} is skipped: it is not installed`);
  test.skipIf(!isThere)(`${program} finds nothing wrong with the pages of all commands`, () => {
    // oxlint-disable-next-line no-unsafe-type-assertion -- the build writes it from the type
    const table = JSON.parse(readFileSync(join(root, "build/commands.json"), "utf8")) as CommandTable;
    const pages = manualPages(table, "2026-11-30");
    expect(pages.size).toBeGreaterThan(40);
    const input = [...pages.values()].join("");
    const each = program === "mandoc" ? [...pages.values()] : [input];
    for (const page of each) {
      const { stdout, stderr } = spawnSync(program, flags, { input: page, encoding: "utf8" });
      expect(stdout + stderr).toBe("");
    }
  });
}
