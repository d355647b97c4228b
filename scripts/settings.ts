// Writes what is made of the table of settings: docs/kiln.schema.json and the tables of docs/settings.md. `npm run settings`.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { settingsPage, settingsSchema } from "../src/cli/settings/pages.ts";

const docs = join(import.meta.dirname, "../docs");
const page = join(docs, "settings.md");
writeFileSync(page, settingsPage(readFileSync(page, "utf8")));
writeFileSync(join(docs, "kiln.schema.json"), settingsSchema());
