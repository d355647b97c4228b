import { statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { decodeSource } from "../../../lib/core/decode-source.ts";
import { BuildError, errnoOf } from "../../../lib/core/errors.ts";
import { openGiven, readGiven, readSettings } from "../../../lib/core/given-file.ts";
import type { SourceText } from "../../../lib/core/span.ts";
import { MAX_DOCKERFILE_BYTES, tooLarge } from "./context-deps.ts";
import { dockerfileText } from "./dockerfile-text.ts";

/**
 * Lists the names of a Dockerfile; the first existing one counts. `Dockerfile` may be written in small letters, also
 * with -f, and podman's and buildah's name for it is known as well.
 */
export function dockerfileNames(given: string | undefined): readonly string[] {
  if (given === undefined) return ["Dockerfile", "dockerfile", "Containerfile"];
  return basename(given) === "Dockerfile" ? [given, join(dirname(given), "dockerfile")] : [given];
}

/**
 * Finds the ignore file of a local context: the Dockerfile's own before the context's. docker's names come before those
 * of podman and buildah; where both exist and differ, a notice names the one that does not count.
 */
export async function findIgnoreFile(
  place: { readonly directory: string; readonly dockerfile?: string; readonly shownDirectory?: string },
  deps: { readonly notice: (message: string) => void },
  signal: AbortSignal,
): Promise<SourceText | undefined> {
  const read = async (suffix: string): Promise<SourceText | undefined> => {
    const own = place.dockerfile === undefined ? undefined : place.dockerfile + suffix;
    const found = own === undefined ? undefined : await readSource(own, basename(own), "an ignore file", signal);
    const shown = join(place.shownDirectory ?? "", suffix);
    return found ?? (await readSource(join(place.directory, suffix), shown, "an ignore file", signal));
  };
  const docker = await read(".dockerignore");
  const other = await read(".containerignore");
  if (docker !== undefined && other !== undefined && docker.text !== other.text)
    deps.notice(`${other.name} is not used: ${docker.name} is there too, and counts`);
  return docker ?? other;
}

/**
 * Reads a file.
 * @returns `undefined` when there is none
 * @throws {BuildError} when it cannot be read, or is not text
 */
export async function readSource(
  path: string,
  name: string,
  kind: "a Dockerfile" | "an ignore file",
  signal: AbortSignal,
): Promise<SourceText | undefined> {
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    if (status === undefined) return undefined;
    if (status.isDirectory()) {
      throw new BuildError("dockerfile/not-found", `Cannot read ${JSON.stringify(name)}: it is a directory`, {
        hint: kind === "a Dockerfile" ? `name the file in it: -f ${join(name, "Dockerfile")}` : undefined,
      });
    }
    if (status.size > MAX_DOCKERFILE_BYTES) throw tooLarge(name);
    const file = { path, refuse: (why: string) => unreadable(name, why) };
    // Pipes and devices are for -f only: an ignore file is never one, and a context may be untrusted.
    if (status.isFile() || kind === "an ignore file")
      return decodeSource(name, readSettings(file, MAX_DOCKERFILE_BYTES), kind);
    if (status.isCharacterDevice())
      return decodeSource(name, await readGiven(file, MAX_DOCKERFILE_BYTES, signal), kind);
    return await dockerfileText(openGiven(file), name, signal);
  } catch (error) {
    if (errnoOf(error) !== "EACCES") throw error;
    throw unreadable(name, "permission denied", error);
  }
}

function unreadable(name: string, why: string, cause?: unknown): BuildError {
  return new BuildError("context/unreadable", `Cannot read ${JSON.stringify(name)}: ${why}`, { cause });
}
