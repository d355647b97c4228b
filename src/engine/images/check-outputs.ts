import { existsSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { BuildError, messageOf } from "../../../lib/core/errors.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import { parseReference } from "../../../lib/core/reference.ts";
import type { Conversion } from "../../../frontend/convert/conversion.ts";
import { isArchive, type OutputSpec } from "../../export/output-spec.ts";
import type { BuildEnvironment } from "../environment.ts";
import type { BuildOptions } from "../options.ts";

/**
 * Refuses outputs before the build that would fail at its end, or need a permission.
 * @throws {BuildError} `export/failed`, `cli/usage`, `reference/malformed`
 */
export function checkOutputs(
  outputs: readonly OutputSpec[],
  options: Pick<BuildOptions, "tags" | "allow">,
  environment: BuildEnvironment,
): void {
  const tags = options.tags ?? [];
  for (const tag of tags) checkTag(tag);
  checkStandardOutput(outputs, environment);
  checkOneEach(outputs, environment);
  for (const output of outputs) {
    if (output.kind === "image") {
      if (output.push) checkPush(output.pushByDigest, [...tags, ...output.image.names]);
    } else if ("destination" in output && output.destination !== "-") {
      checkDestination(output.destination, isArchive(output), environment);
      const mayDelete = options.allow?.includes("buildx.local.delete") === true;
      if (output.kind === "local" && output.mode === "delete" && !mayDelete) {
        checkDeletion(output.destination, environment);
      }
    }
  }
}

/** Warns of `rewrite-timestamp` without a date. */
export function warnOfUnusedRewrite(
  conversions: readonly Pick<Conversion, "sourceDateEpoch">[],
  outputs: readonly OutputSpec[],
  progress: ProgressSink,
): void {
  const isDated = conversions.some(({ sourceDateEpoch }) => sourceDateEpoch !== undefined);
  const isUnused = outputs.some(
    (output) => "image" in output && output.image.rewriteTimestamp && output.image.sourceDateEpoch === undefined,
  );
  if (isDated || !isUnused) return;
  const message = "rewrite-timestamp is specified, but no source-date-epoch was found: times stay as they are";
  progress({ kind: "notice", level: "warning", message, hint: "give --build-arg SOURCE_DATE_EPOCH=SECONDS" });
}

function checkTag(tag: string): void {
  if (parseReference(tag).digest === undefined) return;
  throw new BuildError("reference/malformed", `Cannot tag the result ${JSON.stringify(tag)}: it has a digest`, {
    hint: "a digest follows from what is built; give a name with a tag",
  });
}

function checkPush(byDigest: boolean, names: readonly string[]): void {
  if (names.length === 0) {
    throw new BuildError("export/failed", "tag is needed when pushing to registry", {
      hint: "add -t REGISTRY/NAME:TAG",
    });
  }
  // A reference without a tag gets `:latest`, so only the text tells whether it had one.
  const tagged = byDigest ? names.find((name) => /:[^/]*$/.test(name)) : undefined;
  if (tagged === undefined) return;
  throw new BuildError("cli/usage", `can't push tagged ref ${JSON.stringify(tagged)} by digest`, {
    hint: `leave the tag out: ${tagged.replace(/:[^/]*$/, "")}`,
  });
}

function checkStandardOutput(outputs: readonly OutputSpec[], environment: BuildEnvironment): void {
  const toStdout = outputs.filter((output) => "destination" in output && output.destination === "-");
  if (toStdout.length > 1) {
    throw new BuildError("cli/usage", "Cannot write two outputs to standard output", {
      hint: "give one of them dest=FILE",
    });
  }
  if (toStdout.length === 0) return;
  const stream = environment.stdout();
  if (!("isTTY" in stream) || stream.isTTY !== true) return;
  throw new BuildError("cli/usage", "Cannot write an archive to a terminal", {
    hint: "give a file (kiln build -o type=...,dest=FILE; kiln save -o FILE), or redirect standard output: > FILE, | docker load",
  });
}

/** Refuses two archives in one file: only the last would remain. */
function checkOneEach(outputs: readonly OutputSpec[], environment: BuildEnvironment): void {
  const seen = new Set<string>();
  for (const output of outputs) {
    if (!("destination" in output) || output.destination === "-" || !isArchive(output)) continue;
    const path = resolve(environment.workingDirectory, output.destination);
    if (seen.has(path)) {
      throw new BuildError("cli/usage", `Cannot write two outputs to ${JSON.stringify(output.destination)}`, {
        hint: "give each a file of its own",
      });
    }
    // Many outputs may go to one device, which keeps none of them.
    if (!path.startsWith("/dev/")) seen.add(path);
  }
}

function checkDestination(destination: string, isFile: boolean, environment: BuildEnvironment): void {
  const path = resolve(environment.workingDirectory, destination);
  const isDirectory = isDirectoryAt(path, destination);
  if (isFile && isDirectory === true) {
    throw new BuildError("export/failed", `Cannot write to ${JSON.stringify(destination)}: it is a directory`, {
      hint: "dest is the file to write; tar=false writes a directory",
    });
  }
  if (!isFile && isDirectory === false) {
    throw new BuildError("export/failed", `Cannot write into ${JSON.stringify(destination)}: it is a file`);
  }
}

/**
 * Tells whether there is a directory; `undefined` where there is nothing.
 * @throws {BuildError} `export/failed` for an impossible or unreadable path
 */
function isDirectoryAt(path: string, destination: string): boolean | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory();
  } catch (error) {
    throw new BuildError("export/failed", `Cannot write to ${JSON.stringify(destination)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Refuses to delete outside the working directory, where the folder may be a user's home. buildx's rule. */
function checkDeletion(destination: string, environment: BuildEnvironment): void {
  const working = realpathSync(environment.workingDirectory);
  const path = realPath(resolve(working, destination));
  const way = relative(working, path);
  const isBelow = way !== "" && way !== ".." && !way.startsWith("../");
  if (isBelow || !existsSync(path)) return;
  const place = way === "" ? "the working directory" : "outside the working directory";
  throw new BuildError(
    "cli/usage",
    `Cannot write into ${JSON.stringify(destination)} with mode=delete: it is ${place}, and everything in it that is not part of the result would be removed`,
    { hint: "if that is what you want, add --allow buildx.local.delete" },
  );
}

/** Resolves a path like realpath; its end need not exist. */
function realPath(path: string): string {
  if (existsSync(path) || path === "/") return path === "/" ? path : realpathSync(path);
  return join(realPath(dirname(path)), basename(path));
}
