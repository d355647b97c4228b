import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError, errnoOf } from "../core/errors.ts";
import { list, object, readJsonAs, TEXT } from "../core/shape.ts";

/**
 * Paths that were changed in a step's tree where nothing can be mounted, and are as they were again, but with a new change time. Paths
 * are relative to the tree.
 */
export interface Borrowed {
  /** Files and directories that were put aside while the step ran. */
  readonly paths: ReadonlySet<string>;
  /** Directories in which something was put and taken out again, that the step itself did not change. */
  readonly directories: ReadonlySet<string>;
}

/** The file beside the tree with the list, for its comparison. */
const NAME = "borrowed";

const WRITTEN = object<{ readonly [Name in keyof Borrowed]: readonly string[] }>({
  paths: list(TEXT),
  directories: list(TEXT),
});

/** `home` is the directory that the tree's own directory is in. */
export function writeBorrowed(home: string, { paths, directories }: Borrowed): void {
  writeFileSync(join(home, NAME), JSON.stringify({ paths: [...paths], directories: [...directories] }));
}

/** Takes the note away: it is about one step. `undefined` where there is none. */
export function takeBorrowed(home: string): Borrowed | undefined {
  try {
    const text = readFileSync(join(home, NAME), "utf8");
    rmSync(join(home, NAME));
    const bad = (why: string): BuildError =>
      new BuildError("store/corrupt", `Cannot read "${join(home, NAME)}": ${why}`, { hint: "run the build again" });
    const { paths, directories } = readJsonAs(WRITTEN, text, bad);
    return { paths: new Set(paths), directories: new Set(directories) };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
