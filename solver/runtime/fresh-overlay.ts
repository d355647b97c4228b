import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { TreeMount } from "../ports.ts";

/** Empties the upper directory of an overlay, as it is before a step. */
export function forgetChanges(tree: TreeMount): void {
  if (tree.kind !== "overlay") return;
  for (const name of readdirSync(tree.upper)) rmSync(join(tree.upper, name), { recursive: true, force: true });
  forgetVolatile(tree);
}

/** An overlay that was mounted as `volatile` is not mounted a second time, unless its mark of that is removed. */
export function forgetVolatile(tree: TreeMount): void {
  if (tree.kind === "overlay") rmSync(join(tree.work, "work"), { recursive: true, force: true });
}
