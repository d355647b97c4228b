// Makes build/library, kiln for programs (`import { build } from "kiln"`), as ES modules for Node 22 and later, and its types in
// build/types. The addon and the runtime beside them are found by relative path.
import { execFileSync } from "node:child_process";
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "rolldown";

const root = join(import.meta.dirname, "..");
const library = join(root, "build", "library");
const types = join(root, "build", "types");
const STACKS = join(import.meta.dirname, "disposable-stack.mjs");

await rm(library, { recursive: true, force: true });
await build({
  input: { index: join(root, "src", "index.ts"), worker: join(root, "src", "library", "worker.ts") },
  platform: "node",
  logLevel: "warn",
  // Meant: what is also loaded late stays a part of its own where nothing else needs it.
  checks: { ineffectiveDynamicImport: false },
  transform: {
    // `using` and its kin are no syntax of Node 22.
    target: "node22",
    inject: Object.fromEntries(["DisposableStack", "AsyncDisposableStack"].map((name) => [name, [STACKS, name]])),
  },
  output: {
    dir: library,
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: "[name].js",
  },
});

await rm(types, { recursive: true, force: true });
execFileSync("tsc", ["-p", join(root, "tsconfig.types.json"), "--outDir", types], { stdio: "inherit" });
// Declarations name each other as sources do; a program's compiler looks for `.js`, and finds `.d.ts` beside it. The others
// are left out.
const needed = new Set();
const waiting = [join(types, "src", "index.d.ts")];
for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
  if (needed.has(file)) continue;
  needed.add(file);
  const text = (await readFile(file, "utf8")).replaceAll(/(from |import\()"(\.[^"]*)\.ts"/g, '$1"$2.js"');
  // Whoever compiles against kiln has Node's types and no other package of ours.
  const [, foreign] = /(?:from |import\()"((?!\.|node:)[^"]*)"/.exec(text) ?? [];
  if (foreign !== undefined) throw new Error(`kiln: the library's types need "${foreign}", in ${file}`);
  await writeFile(file, text);
  for (const [, name] of text.matchAll(/(?:from |import\()"(\.[^"]*)\.js"/g)) {
    waiting.push(join(file, "..", `${name}.d.ts`));
  }
}
for (const entry of await readdir(types, { recursive: true })) {
  const file = join(types, entry);
  if (entry.endsWith(".d.ts") && !needed.has(file)) await rm(file);
}
