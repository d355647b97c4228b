// Makes build/report.html, the template of a build's page: markup, styles and the page's own code in one file, with the
// digests of both in its policy, so that nothing else in the page can run.
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "rolldown";

const root = join(import.meta.dirname, "..");
const folder = join(root, "src/report/page");

const bundled = await build({
  input: join(folder, "main.ts"),
  platform: "browser",
  logLevel: "warn",
  write: false,
  output: { format: "iife", minify: true, codeSplitting: false },
});
const [chunk] = bundled.output;
const script = chunk.code.trim();
if (/<\/script|<!--/i.test(script)) throw new Error("kiln: the page's code would end its own script element");
const style = (await readFile(join(folder, "page.css"), "utf8")).replaceAll(/\s*\n\s*/g, "\n").trim();
const digest = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const policy = `default-src 'none'; script-src ${digest(script)}; style-src ${digest(style)}; base-uri 'none'; form-action 'none'`;
// The digests are those of the whole content of an element, so nothing may stand around it.
let page = (await readFile(join(folder, "page.html"), "utf8")).replaceAll(/\s*(<!--\w+-->)\s*/g, "$1");
for (const [name, text] of Object.entries({ policy, style, script })) {
  const parts = page.split(`<!--${name}-->`);
  if (parts.length !== 2) throw new Error(`kiln: the page has no single place for its ${name}`);
  page = parts.join(text);
}
await writeFile(join(root, "build", "report.html"), page);
