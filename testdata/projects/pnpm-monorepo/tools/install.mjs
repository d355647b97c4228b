// Links the packages of the workspace, as pnpm does: node_modules/<name> -> packages/<folder>.
import { appendFileSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const store = process.argv[process.argv.indexOf("--store") + 1];
mkdirSync(store, { recursive: true });
for (const folder of readdirSync("packages")) {
  const { name } = JSON.parse(readFileSync(join("packages", folder, "package.json"), "utf8"));
  const link = join("node_modules", name);
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(relative(dirname(link), join("packages", folder)), link);
  appendFileSync(join(store, "installed"), `${name}\n`);
}
