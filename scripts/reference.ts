// Writes docs/commands.md and docs/errors.md out of what the build made of commands and pages of errors: `npm run reference`,
// after `npm run build`.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CommandTable } from "../src/cli/command-table.ts";
import { commandsPage, errorsPage } from "../src/cli/manual/reference.ts";

const root = join(import.meta.dirname, "..");
// The build writes both files from these types.
// oxlint-disable-next-line no-unsafe-type-assertion
const table = JSON.parse(readFileSync(join(root, "build/commands.json"), "utf8")) as CommandTable;
// oxlint-disable-next-line no-unsafe-type-assertion
const pages = JSON.parse(readFileSync(join(root, "build/errors.json"), "utf8")) as Readonly<Record<string, string>>;
writeFileSync(join(root, "docs/commands.md"), commandsPage(table));
writeFileSync(join(root, "docs/errors.md"), errorsPage(pages));
