import { readdirSync } from "node:fs";
import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { readSettings } from "../core/given-file.ts";

/** Errors for what is not there, or is there for others only: as good as no settings. */
const ABSENT: readonly (string | undefined)[] = ["ENOENT", "ENOTDIR", "EACCES"];

/** Reads a file of settings; `undefined` when it is missing or readable only by the engine. */
export function settingsIn(path: string): string | undefined {
  try {
    return readSettings({ path, refuse: (why) => unreadable(path, why) }).toString("utf8");
  } catch (error) {
    if (error instanceof BuildError) throw error;
    if (ABSENT.includes(errnoOf(error))) return undefined;
    throw unreadable(path, messageOf(error), error);
  }
}

/** Lists a directory, sorted; empty where there is none or it is not readable. */
export function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).toSorted();
  } catch (error) {
    if (ABSENT.includes(errnoOf(error))) return [];
    throw unreadable(directory, messageOf(error), error);
  }
}

/** Makes the error for settings that cannot be used. */
export function unreadable(path: string, why: string, cause?: unknown): BuildError {
  return new BuildError("registry/configuration", `Cannot read "${path}": ${why}`, {
    hint: "repair the file: the programs it belongs to would not start with it either",
    cause,
  });
}
