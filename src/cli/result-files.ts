import { accessSync, constants, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BuildError, errnoOf, messageOf } from "../../lib/core/errors.ts";
import { openPipe } from "../../lib/core/given-file.ts";
import type { CommandContext } from "./context.ts";

/** Files that describe the result, as given; relative to the working directory. */
export interface ResultFiles {
  readonly iidfile: string | undefined;
  readonly metadataFile: string | undefined;
}

/**
 * Checks before a build that the files can be written, and removes those of an earlier build: a failed build must not
 * leave another's id behind. Pipes and devices stay.
 * @throws {BuildError} `export/failed`
 */
export function checkResultFiles(context: CommandContext, { iidfile, metadataFile }: ResultFiles): void {
  for (const [flag, file] of [["--iidfile", iidfile] as const, ["--metadata-file", metadataFile] as const]) {
    if (file === undefined) continue;
    const path = resolve(context.host.workingDirectory, file);
    try {
      const status = statSync(path, { throwIfNoEntry: false });
      if (status?.isDirectory() === true) throw new Error("it is a directory");
      accessSync(dirname(path), constants.W_OK);
      if (status?.isFile() === true) rmSync(path);
    } catch (error) {
      throw unwritable(flag, path, error);
    }
  }
}

/**
 * Writes a file.
 * @throws {BuildError} `export/failed`
 */
export async function writeResultFile(
  context: CommandContext,
  flag: string,
  file: string,
  text: string,
): Promise<void> {
  const path = resolve(context.host.workingDirectory, file);
  try {
    if (statSync(path, { throwIfNoEntry: false })?.isFIFO() !== true) writeWhole(path, text);
    else await pipeline(Readable.from([text]), await openPipe(path, context.signal), { signal: context.signal });
  } catch (error) {
    context.signal.throwIfAborted();
    throw unwritable(flag, path, error);
  }
}

/** Writes a file, or leaves none: half an id, or an empty one, would be taken for the answer. */
function writeWhole(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) rmSync(path, { force: true });
    throw error;
  }
}

function unwritable(flag: string, path: string, error: unknown): BuildError {
  const why = errnoOf(error) === "ENOENT" ? `there is no directory ${dirname(path)}` : messageOf(error);
  return new BuildError("export/failed", `Cannot write ${path} for ${flag}: ${why}`, { cause: error });
}
