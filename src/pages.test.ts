import { readFile, stat } from "node:fs/promises";
import { dirname, join, normalize } from "node:path/posix";
import { join as hostPath } from "node:path";
import glob from "fast-glob";
import { expect, test } from "vitest";
import { ERROR_CODES } from "../lib/core/errors.ts";

const ROOT = hostPath(import.meta.dirname, "..");

const pages = (
  await glob(["*.md", "docs/*.md", "{bench,bin,test,testdata,src,frontend,solver,lib}/**/README.md"], { cwd: ROOT })
)
  .filter((page) => !page.startsWith("testdata/differential/"))
  .toSorted();

/** A source file as pages name it: `op.ts`, `program/main.c`, `build-*.ts`. Names of JSON are left out: many are other programs'. */
const NAMED_FILE = /`((?:[\w.*-]+\/)*[\w.*-]+\.(?:ts|c|h|mjs|cjs|sh))`/g;
const NAMED_FOLDER = /`((?:\.\.\/)*(?:[\w.-]+\/)*[\w.-]+)\/?`/g;
const LINK = /\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)/g;

/** Stands for any file in explanations of how tests are named. */
const PLACEHOLDERS = new Set(["x.ts", "x.test.ts", "x.c"]);

/** Files that `npm run build` makes: they are not there in a fresh clone. */
const BUILT = "build/";

function kindOf(path: string): Promise<"file" | "folder" | "none"> {
  return stat(hostPath(ROOT, path)).then(
    (found) => (found.isDirectory() ? "folder" : "file"),
    () => "none",
  );
}

/** Returns whether a name, which may have wildcards, is a file below the folder. */
async function isFile(folder: string, name: string): Promise<boolean> {
  const path = normalize(join(folder, name));
  if (!path.includes("*")) return (await kindOf(path)) === "file";
  return (await glob(path, { cwd: ROOT })).length > 0;
}

/** The folders that a line's names may be in: the repository's top, the page's own, and those that the line names. */
async function foldersFor(page: string, line: string): Promise<readonly string[]> {
  const own = dirname(page);
  const named = [...line.matchAll(NAMED_FOLDER)].flatMap(([, name]) =>
    name === undefined ? [] : [name, join(own, name)],
  );
  const there = await Promise.all(named.map(async (folder) => ((await kindOf(folder)) === "folder" ? [folder] : [])));
  return [".", own, ...there.flat()];
}

test.each(pages)("files that %s names are where it says", async (page) => {
  const lost: string[] = [];
  for (const line of (await readFile(hostPath(ROOT, page), "utf8")).split("\n")) {
    const folders = await foldersFor(page, line);
    for (const [, name] of line.matchAll(NAMED_FILE)) {
      if (name === undefined || PLACEHOLDERS.has(name) || name.startsWith(BUILT)) continue;
      const found = await Promise.all(folders.map((folder) => isFile(folder, name)));
      if (!found.includes(true)) lost.push(name);
    }
    for (const [, target] of line.matchAll(LINK)) {
      if (target !== undefined && (await kindOf(normalize(join(dirname(page), target)))) === "none") lost.push(target);
    }
  }
  expect(lost).toEqual([]);
});

test("every script that CONTRIBUTING.md and README.md name is one of package.json's", async () => {
  const manifest = await readFile(hostPath(ROOT, "package.json"), "utf8");
  const texts = await Promise.all(pages.map((page) => readFile(hostPath(ROOT, page), "utf8")));
  const named = texts.flatMap((text) => [...text.matchAll(/\bnpm run (?:--silent )?([a-z][\w:]*)/g)].map((m) => m[1]));
  expect(named.filter((name) => name === undefined || !manifest.includes(`"${name}": "`))).toEqual([]);
});

test.each(ERROR_CODES)("the page of %s says what, why, an example and what to do", async (code) => {
  const text = await readFile(hostPath(ROOT, "docs/errors", `${code}.md`), "utf8");
  const headings = [...text.matchAll(/^#+ .*$/gm)].map(([heading]) => heading);
  expect(headings).toEqual([`# ${code}`, "## Why", "## As in", "## What to do"]);
  for (const part of text.split(/^#+ .*$/m).slice(1)) expect(part.trim()).not.toBe("");
});

test("every page of an error is one of a code", async () => {
  const files = await glob("**/*.md", { cwd: hostPath(ROOT, "docs/errors") });
  expect(files.map((file) => file.replace(/\.md$/, "")).toSorted()).toEqual(ERROR_CODES.toSorted());
});
