import { readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import glob from "fast-glob";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");

// Longest prefix wins. "src/cli" is absent on purpose: it wires everything, and nothing may import it.
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "src/core": [],
  "src/native": ["src/core"],
  "src/tar": ["src/core", "src/native"],
  "src/store": ["src/core", "src/native"],
  "src/registry": ["src/core"],
  "src/export": ["src/core", "src/native", "src/tar", "src/store", "src/registry"],
  "src/progress": ["src/core"],
  "src/build": [
    "src/core",
    "src/native",
    "src/tar",
    "src/store",
    "src/registry",
    "src/export",
    "src/progress",
    "frontend",
    "solver",
    "solver/graph",
  ],
  "src/index.ts": ["src/core", "src/build"],
  "solver/graph": ["src/core"],
  solver: ["src/core", "src/native", "src/tar", "src/store", "src/registry", "solver/graph"],
  frontend: ["src/core", "solver/graph"],
};

// One folder each: a package can then be replaced in an afternoon.
const PACKAGE_HOMES: Readonly<Record<string, string>> = {
  chevrotain: "frontend/",
  "tar-stream": "src/tar/",
  "@dagrejs/graphlib": "solver/graph/",
  minimatch: "src/cli/",
  commander: "src/cli/",
  undici: "src/registry/",
};

const moduleOf = (file: string): string | undefined =>
  Object.keys(MAY_IMPORT)
    .filter((name) => file === name || file.startsWith(`${name}/`))
    .toSorted((a, b) => b.length - a.length)[0];

const sources = (pattern: string): Promise<string[]> =>
  glob(pattern, {
    cwd: ROOT,
    ignore: ["**/*.test.ts", "**/*.contract.ts", "**/testing/**", "**/testing.ts", "**/*.fixture.ts"],
  });

async function importsOf(file: string): Promise<string[]> {
  const text = await readFile(join(ROOT, file), "utf8");
  return [...text.matchAll(/(?:\bfrom|\bimport\()\s*"([^"]+)"/g)].map((match) => match[1] ?? "");
}

test.each(Object.entries(MAY_IMPORT))("%s imports only %j", async (name, allowed) => {
  for (const file of await sources(name.endsWith(".ts") ? name : `${name}/**/*.ts`)) {
    if (moduleOf(file) !== name) continue;
    for (const path of await importsOf(file)) {
      if (!path.startsWith(".")) continue;
      const target = moduleOf(relative(ROOT, join(ROOT, dirname(file), path))) ?? "src/cli";
      expect([name, ...allowed], `${file} imports ${path}`).toContain(target);
    }
  }
});

test("a third-party package is imported in one folder", async () => {
  const strays: string[] = [];
  for (const file of await sources("{src,frontend,solver}/**/*.ts")) {
    for (const path of await importsOf(file)) {
      const home = Object.entries(PACKAGE_HOMES).find(([name]) => path === name || path.startsWith(`${name}/`))?.[1];
      if (home !== undefined && !file.startsWith(home))
        strays.push(`${file} imports ${path}, which belongs to ${home}`);
    }
  }
  expect(strays).toEqual([]);
});

test("the frontend reaches for no file, network, clock or process", async () => {
  for (const file of await sources("frontend/**/*.ts")) {
    const text = await readFile(join(ROOT, file), "utf8");
    for (const path of await importsOf(file)) {
      // isIP reads a text and opens nothing.
      if (text.includes('import { isIP } from "node:net";') && path === "node:net") continue;
      expect(path, `${file} imports ${path}`).not.toMatch(
        /^(node:)?(fs|fs\/promises|net|http|https|child_process|os|process|worker_threads)$/,
      );
    }
    expect(text, file).not.toMatch(/\bprocess\.(env|cwd|argv|exit)|\bDate\.now\(|\bMath\.random\(|\bfetch\(/);
  }
});

test("environment, clock, chance and console are used in src/cli only", async () => {
  for (const file of await sources("{src,solver,frontend}/**/*.ts")) {
    if (file.startsWith("src/cli/")) continue;
    const code = (await readFile(join(ROOT, file), "utf8")).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
    expect(code, file).not.toMatch(/\bprocess\.(env|cwd)\b|\bDate\.now\(|\bMath\.random\(|\bconsole\./);
  }
});

test("every error code has its page, every page its code, and every code somebody who raises it", async () => {
  const { ERROR_CODES } = await import("./core/errors.ts");
  const pages = await glob("docs/errors/**/*.md", { cwd: ROOT });
  expect(pages.toSorted()).toEqual(ERROR_CODES.map((code) => `docs/errors/${code}.md`).toSorted());
  const raised = new Set<string>();
  for (const file of await sources("{src,solver,frontend}/**/*.ts")) {
    if (file === "src/core/errors.ts" || file.endsWith(".test.ts")) continue;
    for (const [, code = ""] of (await readFile(join(ROOT, file), "utf8")).matchAll(/"([a-z]+\/[a-z-]+)"/g))
      raised.add(code);
  }
  for (const code of ERROR_CODES) expect(raised, `${code} is raised nowhere`).toContain(code);
});
