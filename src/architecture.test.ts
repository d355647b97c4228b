import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path/posix";
import { join as hostPath } from "node:path";
import glob from "fast-glob";
import { expect, test } from "vitest";

const ROOT = hostPath(import.meta.dirname, "..");

const LIB = ["lib/core", "lib/native", "lib/tree", "lib/tar", "lib/store", "lib/registry", "lib/reapi"] as const;

/**
 * Every room and what it may import, from the ground up: a room stands below all rooms that import it. A folder stands for
 * what is in it, the longest name wins, and a file that no name covers is an error.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "lib/core": [],
  "lib/native": ["lib/core"],
  "lib/tree": ["lib/core", "lib/native"],
  "lib/tar": ["lib/core", "lib/native", "lib/tree"],
  "lib/store": ["lib/core", "lib/native"],
  "lib/registry": ["lib/core"],
  "lib/reapi": ["lib/core"],
  "solver/graph": ["lib/core"],
  "solver/ports.ts": ["lib/core", "lib/store", "solver/graph"],
  "solver/select": ["lib/core", "lib/native", "lib/tree", "solver/graph"],
  "solver/cache": [
    "lib/core",
    "lib/store",
    "lib/registry",
    "lib/reapi",
    "solver/graph",
    "solver/ports.ts",
    "solver/select",
  ],
  "solver/sources": [...LIB, "solver/graph", "solver/ports.ts", "solver/select", "solver/cache"],
  "solver/snapshot": ["lib/core", "lib/native", "lib/tree", "lib/tar", "lib/store", "solver/ports.ts"],
  "solver/runtime": ["lib/core", "lib/native", "lib/tree", "solver/ports.ts"],
  "solver/ops/file": [...LIB, "solver/graph", "solver/ports.ts", "solver/select", "solver/cache", "solver/sources"],
  "solver/ops/exec": [
    "lib/core",
    "lib/native",
    "lib/store",
    "lib/tree",
    "solver/graph",
    "solver/ports.ts",
    "solver/select",
    "solver/cache",
    "solver/ops/file",
  ],
  "solver/remote": ["lib/core", "lib/store", "lib/reapi", "solver/graph", "solver/ports.ts"],
  "solver/shared-schedule.ts": ["lib/core"],
  "solver/deps.ts": [
    ...LIB,
    "solver/graph",
    "solver/ports.ts",
    "solver/cache",
    "solver/sources",
    "solver/shared-schedule.ts",
  ],
  "solver/schedule": [
    ...LIB,
    "solver/graph",
    "solver/ports.ts",
    "solver/deps.ts",
    "solver/warning.ts",
    "solver/select",
    "solver/cache",
    "solver/ops/file",
    "solver/ops/exec",
  ],
  "solver/warning.ts": ["lib/core", "solver/graph"],
  "solver/entitlements.ts": ["lib/core", "solver/graph", "solver/ports.ts", "solver/deps.ts"],
  "solver/solve.ts": [
    ...LIB,
    "solver/graph",
    "solver/warning.ts",
    "solver/ports.ts",
    "solver/deps.ts",
    "solver/entitlements.ts",
    "solver/select",
    "solver/cache",
    "solver/ops/file",
    "solver/schedule",
  ],
  "frontend/words": ["lib/core"],
  "frontend/ignore": ["lib/core"],
  "frontend/location-json.ts": ["lib/core"],
  "frontend/subrequests.ts": ["lib/core"],
  "frontend/syntax": ["lib/core", "frontend/words"],
  "frontend/instructions": ["lib/core", "frontend/words", "frontend/syntax"],
  "frontend/lint": ["lib/core", "frontend/words", "frontend/syntax", "frontend/instructions"],
  "frontend/parse.ts": ["lib/core", "frontend/words", "frontend/syntax", "frontend/instructions"],
  "frontend/convert": [
    "lib/core",
    "solver/graph",
    "frontend/words",
    "frontend/syntax",
    "frontend/instructions",
    "frontend/lint",
    "frontend/parse.ts",
    "frontend/location-json.ts",
  ],
  "frontend/check.ts": [
    "lib/core",
    "frontend/instructions",
    "frontend/lint",
    "frontend/parse.ts",
    "frontend/convert",
    "frontend/location-json.ts",
  ],
  "src/progress": ["lib/core"],
  "src/export": LIB,
  "src/engine/sbom": ["lib/core", "lib/native", "lib/tree"],
  "src/engine/sign": ["lib/core", "lib/registry"],
  "src/engine": [...LIB, "solver", "frontend", "src/export", "src/progress", "src/engine/sbom"],
  "src/watch": ["lib/core", "lib/native", "frontend/ignore", "src/export", "src/engine"],
  "src/serve": ["lib/core", "lib/store", "lib/registry", "src/export", "src/engine"],
  "src/library": ["lib/core", "src/export", "src/engine"],
  "src/report/data.ts": [],
  "src/report/page": ["src/report/data.ts"],
  "src/report": [...LIB, "src/progress", "src/engine", "src/report/data.ts"],
  "src/index.ts": ["lib/core", "src/engine", "src/library"],
  "src/bake/hcl": ["lib/core"],
  "src/bake/functions": ["lib/core", "src/bake/hcl"],
  "src/bake": ["lib/core", "src/bake/hcl", "src/bake/functions"],
  "src/cli": [
    ...LIB,
    "solver",
    "frontend",
    "src/progress",
    "src/export",
    "src/engine",
    "src/watch",
    "src/serve",
    "src/bake",
    "src/report",
  ],
};

/** The folders that may import a package, one for each language or task: it can then be replaced in an afternoon. */
const PACKAGE_HOMES: Readonly<Record<string, string | readonly string[]>> = {
  chevrotain: ["frontend/syntax", "src/bake/hcl"],
  yaml: "src/bake/compose",
  "tar-stream": "lib/tar",
  bcryptjs: "src/bake/functions",
  "@dagrejs/graphlib": "solver/graph",
  minimatch: "src/engine/images",
  "smol-toml": ["lib/registry", "src/cli/settings"],
  tweetnacl: "src/engine/sign",
  commander: "src/cli",
  "get-east-asian-width": "src/progress",
  undici: "lib/registry",
  "@grpc/grpc-js": "lib/reapi",
};

const roomOf = (file: string): string | undefined =>
  Object.keys(MAY_IMPORT)
    .filter((name) => file === name || file.startsWith(`${name}/`))
    .toSorted((a, b) => b.length - a.length)[0];

interface Source {
  readonly file: string;
  readonly text: string;
  /** Files of ours, by their path in the repository; type imports included. */
  readonly imports: readonly string[];
  readonly packages: readonly string[];
}

/** `import ... from "x"`, `export ... from "x"`, `import "x"` at the beginning of a line, and `import("x")` anywhere. */
const IMPORT = /^(?:import|export)\b(?:[^;"]*\bfrom)?\s*"([^"\s]+)"|\bimport\(\s*"([^"\s]+)"/gm;
const IGNORE = ["**/*.test.ts", "**/*.contract.ts", "**/testing/**", "**/testing.ts", "**/*.fixture.ts"];
const files = (await glob("{src,frontend,solver,lib}/**/*.ts", { cwd: ROOT, ignore: IGNORE })).toSorted();
const sources: readonly Source[] = await Promise.all(
  files.map(async (file) => {
    const text = await readFile(hostPath(ROOT, file), "utf8");
    const named = [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? "");
    return {
      file,
      text,
      imports: named.filter((path) => path.startsWith(".")).map((path) => join(dirname(file), path)),
      packages: named.filter((path) => !path.startsWith(".") && !path.startsWith("node:")),
    };
  }),
);

test("every file is in a room of the list, and every room has files", () => {
  expect(files.filter((file) => roomOf(file) === undefined)).toEqual([]);
  expect(Object.keys(MAY_IMPORT).filter((room) => !files.some((file) => roomOf(file) === room))).toEqual([]);
});

test.each(Object.entries(MAY_IMPORT))("%s imports only what is below it", (room, allowed) => {
  const strays = sources
    .filter(({ file }) => roomOf(file) === room)
    .flatMap(({ file, imports }) =>
      imports
        .filter((path) => {
          const target = roomOf(path);
          return target !== room && !allowed.some((name) => target === name || path.startsWith(`${name}/`));
        })
        .map((path) => `${file} imports ${path}`),
    );
  expect(strays).toEqual([]);
});

/** Names on a way that leads back to its beginning, the first that is found; empty when there is none. */
function circleIn(arrows: ReadonlyMap<string, ReadonlySet<string>>): readonly string[] {
  const done = new Set<string>();
  const visit = (name: string, way: readonly string[]): readonly string[] => {
    if (way.includes(name)) return [...way.slice(way.indexOf(name)), name];
    if (done.has(name)) return [];
    for (const next of arrows.get(name) ?? []) {
      const found = visit(next, [...way, name]);
      if (found.length > 0) return found;
    }
    done.add(name);
    return [];
  };
  for (const name of arrows.keys()) {
    const found = visit(name, []);
    if (found.length > 0) return found;
  }
  return [];
}

test("no files import each other in a circle, types included", () => {
  expect(circleIn(new Map(sources.map(({ file, imports }) => [file, new Set(imports)])))).toEqual([]);
});

test("no rooms import each other in a circle, types included", () => {
  const arrows = new Map<string, Set<string>>();
  for (const { file, imports } of sources) {
    const room = roomOf(file) ?? file;
    const targets = arrows.get(room) ?? new Set<string>();
    for (const path of imports) targets.add(roomOf(path) ?? path);
    targets.delete(room);
    arrows.set(room, targets);
  }
  expect(circleIn(arrows)).toEqual([]);
});

test("a package is imported in its home only, and every package has one", () => {
  const strays = sources.flatMap(({ file, packages }) =>
    packages
      .filter((path) => {
        const name = path.startsWith("@") ? path.split("/").slice(0, 2).join("/") : (path.split("/")[0] ?? path);
        const home = PACKAGE_HOMES[name];
        return ![home ?? []].flat().some((folder) => file.startsWith(`${folder}/`));
      })
      .map((path) => `${file} imports ${path}`),
  );
  expect(strays).toEqual([]);
});

test("the frontend reaches for no file, network, clock or process", () => {
  for (const { file, text } of sources) {
    if (!file.startsWith("frontend/")) continue;
    // isIP reads a text and opens nothing.
    const code = text.replace('import { isIP } from "node:net";', "");
    const modules = [...code.matchAll(IMPORT)].map((match) => match[1] ?? match[2]);
    expect(
      modules.filter((path) => /^(?:node:)?(?:fs|net|http|os|process|child_process|worker_threads)/.test(path ?? "")),
    ).toEqual([]);
    expect(code, file).not.toMatch(/\bprocess\.(env|cwd|argv|exit)|\bDate\.now\(|\bMath\.random\(|\bfetch\(/);
  }
});

test("environment, clock, chance and console are used where the process begins only", () => {
  // The command line, and the library's one file for what a program's process gives.
  const beginnings = ["src/cli/", "src/library/process-environment.ts"];
  for (const { file, text } of sources) {
    if (beginnings.some((place) => file.startsWith(place))) continue;
    const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
    expect(code, file).not.toMatch(/\bprocess\.(env|cwd)\b|\bDate\.now\(|\bMath\.random\(|\bconsole\./);
  }
});

test("every folder of a floor says what it is for", async () => {
  const parts = ["testing", "rules", "flags", "commands", "patterns", "policy", "remote"];
  const folders = [...new Set(files.map((file) => dirname(file)))].filter(
    (folder) => !parts.includes(folder.split("/").at(-1) ?? "") && !folder.startsWith("solver/sources/"),
  );
  const pages = new Set(await glob("{bin,bench,test,testdata,src,frontend,solver,lib}/**/README.md", { cwd: ROOT }));
  const silent = ["bin", "bench", "test", "testdata", ...folders].filter((folder) => !pages.has(`${folder}/README.md`));
  expect(silent).toEqual([]);
});
