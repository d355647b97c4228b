/**
 * Checks the licences of the packages that kiln is made of and, given a file, writes their texts into it.
 *
 *     node scripts/licences.ts [FILE]
 *
 * Data: package-lock.json (what is installed, and what of it only developers need) -> each package's own package.json and
 * licence file -> one refusal per package whose licence is not on the list, or one notice per package that is shipped.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FLAG, list, mapOf, object, optional, readJsonAs, TEXT } from "../lib/core/shape.ts";

const home = join(import.meta.dirname, "..");

/** Licences whose texts may go with a program under Apache-2.0, as SPDX names them. */
const SHIPPED = new Set([
  "Apache-2.0",
  "MIT",
  "ISC",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "0BSD",
  "BlueOak-1.0.0",
  "Unlicense",
]);
/** Further licences of tools that make and test kiln and are no part of it. */
const TOOLS = new Set([...SHIPPED, "MPL-2.0", "CC0-1.0", "CC-BY-4.0", "Python-2.0", "MIT-0"]);

const LOCK = object({
  packages: mapOf(
    object({ dev: optional(FLAG), optional: optional(FLAG), license: optional(TEXT), version: optional(TEXT) }),
  ),
});

/** The older form of a manifest, which package-lock.json does not take over. */
const MANIFEST = object({ licenses: optional(list(object({ type: TEXT }))) });

interface Package {
  readonly name: string;
  readonly version: string;
  readonly licence: string | undefined;
  readonly folder: string;
  readonly shipped: boolean;
}

function packages(): readonly Package[] {
  const lock = readJsonAs(LOCK, readFileSync(join(home, "package-lock.json"), "utf8"), (why) => {
    throw new Error(`package-lock.json: ${why}`);
  });
  return Object.entries(lock.packages)
    .filter(([folder]) => folder !== "")
    .map(([folder, { dev, license, version }]) => ({
      name: folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length),
      version: version ?? "",
      licence: license ?? olderLicence(folder),
      folder,
      shipped: dev !== true,
    }));
}

/** Reads the licences of a package whose manifest has the older form; absent where it is not installed here. */
function olderLicence(folder: string): string | undefined {
  const file = join(home, folder, "package.json");
  if (!existsSync(file)) return undefined;
  const { licenses } = readJsonAs(MANIFEST, readFileSync(file, "utf8"), (why) => {
    throw new Error(`${file}: ${why}`);
  });
  return licenses?.map(({ type }) => type).join(" OR ");
}

/** Returns whether an SPDX expression leaves a choice of the list: any side of OR, both sides of AND. */
function isAllowed(expression: string, allowed: ReadonlySet<string>): boolean {
  const words = expression.replaceAll(/[()]/g, "");
  return words.split(" OR ").some((choice) => choice.split(" AND ").every((name) => allowed.has(name.trim())));
}

/** Reads the licence's text as the package brings it; the name of the licence where it brings none. */
function textOf({ folder, licence = "" }: Package): string {
  const names = readdirSync(join(home, folder)).filter((name) => /^(licen[cs]e|copying|notice)/i.test(name));
  if (names.length === 0) return licence;
  return names
    .toSorted()
    .map((name) => readFileSync(join(home, folder, name), "utf8").trim())
    .join("\n\n");
}

const all = packages();
const refused = all.filter(
  ({ licence, shipped }) => licence === undefined || !isAllowed(licence, shipped ? SHIPPED : TOOLS),
);
for (const { name, version, licence, shipped } of refused) {
  console.error(
    `${name} ${version}: ${licence ?? "no licence"} ${shipped ? "cannot be shipped" : "is not on the list"}`,
  );
}
const [file] = process.argv.slice(2);
if (refused.length > 0) process.exitCode = 1;
else if (file !== undefined) {
  const notices = all
    .filter(({ shipped, folder }) => shipped && !folder.includes("node-linux-"))
    .map((each) => `${each.name} ${each.version} (${each.licence})\n\n${textOf(each)}\n`);
  writeFileSync(file, notices.join(`\n${"-".repeat(80)}\n\n`));
} else
  console.log(
    `${all.length} packages, ${all.filter(({ shipped }) => shipped).length} of them shipped: all licences are known`,
  );
