import { BuildError } from "../../lib/core/errors.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { Span } from "../../lib/core/span.ts";

/**
 * Reads a path of the Dockerfile for the stage's platform. A Windows path loses its drive and gets `/` as separator,
 * which all other code expects; other paths stay the same.
 * @throws {BuildError} `dockerfile/instruction` for another drive than C:, a drive alone, or a server's name
 */
export function platformPath(path: string, { os }: Platform, span: Span | undefined): string {
  if (os !== "windows") return path;
  const slashed = path.replaceAll("\\", "/");
  const bad = (why: string): BuildError =>
    new BuildError("dockerfile/instruction", `Cannot use the path ${JSON.stringify(path)}: ${why}`, { span });
  if (slashed.startsWith("//")) throw bad("UNC paths are not supported");
  const [, drive, rest = ""] = /^([^:]*):(.*)$/s.exec(slashed) ?? [];
  if (drive === undefined) return slashed;
  if (drive.toLowerCase() !== "c") throw bad("it is not on the system drive (C:)");
  if (rest === "") throw bad("it is a drive alone");
  return rest;
}

/** Writes a path as the platform's programs expect it in an image's configuration. */
export function nativePath(path: string, { os }: Platform): string {
  return os === "windows" ? path.replaceAll("/", "\\") : path;
}
