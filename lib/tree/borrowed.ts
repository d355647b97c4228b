import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../core/errors.ts";

/**
 * Name of the list of borrowed files. Where a step cannot mount over files of its tree, they are moved aside while it
 * runs and come back unchanged, but with a new change time. Their paths, relative to the tree, are kept beside the tree
 * for its comparison.
 */
const NAME = "borrowed";

/** Writes the list. `home` is the parent of the tree's own directory. */
export function writeBorrowed(home: string, paths: readonly string[]): void {
  writeFileSync(join(home, NAME), JSON.stringify(paths));
}

export function readBorrowed(home: string): ReadonlySet<string> {
  try {
    return new Set(JSON.parse(readFileSync(join(home, NAME), "utf8")) as string[]);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return new Set();
    throw error;
  }
}
