import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf } from "./errors.ts";

/**
 * Makes a directory and its missing parents. Node's own `recursive` never ends below /proc, where the parent exists but
 * accepts no new directory.
 * @throws the error of mkdir(2), `ENOTDIR` when something else has the name
 */
export function makeDirectory(path: string, mode = 0o777): void {
  try {
    mkdirSync(path, { mode });
    return;
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EEXIST" || code === "EROFS") {
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
      throw error;
    }
    if (code !== "ENOENT" || dirname(path) === path) throw error;
  }
  makeDirectory(dirname(path), mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Another process may have made it meanwhile.
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}
