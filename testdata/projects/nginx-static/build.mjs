import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";

mkdirSync("dist");
for (const name of readdirSync("pages").sort()) {
  const [title, ...lines] = readFileSync(`pages/${name}`, "utf8").trim().split("\n");
  writeFileSync(`dist/${name.replace(".md", ".html")}`, `<title>${title.slice(2)}</title><p>${lines.join(" ").trim()}</p>\n`);
}
