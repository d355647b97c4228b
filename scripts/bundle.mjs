// Bundles the command line into one CommonJS file (the startup snapshot takes only that) and the worker script into another.
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { build } from "rolldown";

const root = join(import.meta.dirname, "..");
const entries = {
  kiln: "src/cli/snapshot.ts",
  "pack-worker": "src/tar/pack-worker.ts",
};

for (const [name, input] of Object.entries(entries)) {
  const file = join(root, "build", `${name}.cjs`);
  await rm(file, { force: true });
  await build({
    input: join(root, input),
    platform: "node",
    logLevel: "warn",
    output: {
      file,
      format: "cjs",
      codeSplitting: false,
      // import() needs a loader that a deserialised snapshot does not have; require() of built-in modules works there.
      dynamicImportInCjs: false,
      minify: { compress: true, mangle: false, codegen: true },
    },
  });
}
