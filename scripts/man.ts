// Writes the man pages of all commands into build/man: `npm run man`, after `npm run build`. The date is SOURCE_DATE_EPOCH's, or
// that of the last commit, so that the same sources make the same pages.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CommandTable } from "../src/cli/command-table.ts";
import { manualPages } from "../src/cli/manual/page.ts";

const root = join(import.meta.dirname, "..");
const folder = join(root, "build", "man");
// The build writes this file from the type.
// oxlint-disable-next-line no-unsafe-type-assertion
const table = JSON.parse(readFileSync(join(root, "build/commands.json"), "utf8")) as CommandTable;
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
for (const [name, text] of manualPages(table, date())) writeFileSync(join(folder, name), text);

function date(): string {
  const epoch =
    process.env["SOURCE_DATE_EPOCH"] ||
    execFileSync("git", ["log", "-1", "--format=%ct"], { cwd: root, encoding: "utf8" }).trim();
  return new Date(Number(epoch) * 1000).toISOString().slice(0, 10);
}
