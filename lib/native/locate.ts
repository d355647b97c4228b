import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { loadNative } from "./load.ts";
import type { Native } from "./native.ts";

/**
 * Finds the addon for tests and un-bundled runs, and builds it first when its sources are newer. The bundled program
 * does not use this; it gets the path of its addon.
 */
export function locateNative(): Native {
  const here = import.meta.dirname;
  const out = join(here, "../../build");
  const made = spawnSync("make", ["-s", "-C", here, `OUT=${out}`], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`Cannot build the native addon:\n${made.stderr || String(made.error)}`);
  return loadNative(join(out, "kiln.node"));
}
