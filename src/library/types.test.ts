import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

/* The published types as a program's compiler meets them: with Node's types and no other package. */

const HOME = join(import.meta.dirname, "../..");
let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "kiln-types-"));
  const kiln = join(project, "node_modules/kiln");
  mkdirSync(join(kiln, "build"), { recursive: true });
  mkdirSync(join(project, "node_modules/@types"));
  // Copied: from a link the compiler would look into this repository's packages.
  cpSync(join(HOME, "build/types"), join(kiln, "build/types"), { recursive: true });
  cpSync(join(HOME, "package.json"), join(kiln, "package.json"));
  symlinkSync(join(HOME, "node_modules/@types/node"), join(project, "node_modules/@types/node"));
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  writeFileSync(
    join(project, "program.ts"),
    `import { build, type BuildOptions, type BuildResult, BuildError, inspect, pull, push } from "kiln";
const options: BuildOptions = { tags: ["app"], signal: new AbortController().signal };
const work = build(options);
for await (const event of work) console.log(event.kind);
const result: BuildResult = await work;
console.log(result.imageId, result.provenance.map(({ platform }) => platform));
console.log(await inspect("app"), await pull("app"), await push("app"), BuildError);
// @ts-expect-error: a wrong option is found, so the types are really there.
build({ tags: 5 });
`,
  );
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

test.each([
  { name: "of now", compilerOptions: { module: "nodenext", target: "es2024", exactOptionalPropertyTypes: true } },
  {
    name: "with ES2022 and a bundler",
    compilerOptions: { module: "esnext", moduleResolution: "bundler", target: "es2022" },
  },
])("a strict program $name compiles, kiln's own declarations included", ({ compilerOptions }) => {
  const config = {
    compilerOptions: { ...compilerOptions, strict: true, skipLibCheck: false, noEmit: true, types: ["node"] },
    files: ["program.ts"],
  };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(config));
  const { stdout, status } = spawnSync("sh", [join(HOME, "scripts/pinned.sh"), "tsc", "-p", project], {
    encoding: "utf8",
  });
  expect({ stdout, status }).toEqual({ stdout: "", status: 0 });
});
