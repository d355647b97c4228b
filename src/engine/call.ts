import { BuildError } from "../../lib/core/errors.ts";
import type { Json } from "../../lib/core/json.ts";
import { convertDockerfile } from "../../frontend/convert/convert.ts";
import { outlineJson, outlineText } from "../../frontend/convert/outline.ts";
import { targetsJson, targetsText } from "../../frontend/convert/targets.ts";
import { lintDockerfile, lintJson, warningsAbove } from "../../frontend/check.ts";
import type { Warning } from "../../frontend/lint/warning.ts";
import type { Engine } from "./engine.ts";
import type { BuildOptions } from "./options.ts";
import { type PrepareParts, type ReadBuild, readBuild } from "./prepare.ts";
import { Scratch } from "./scratch.ts";

/** The answer to a question about a Dockerfile, in both forms. */
export interface CallResult {
  readonly json: Json;
  /** `undefined` for checks, because their findings are shown with their places. */
  readonly text: string | undefined;
  readonly warnings: readonly Warning[];
  /** The error that a build would end with. */
  readonly error: BuildError | undefined;
}

/** Answers `--call=check|outline|targets`: it reads and converts, and builds nothing. */
export async function callDockerfile(
  engine: PrepareParts["engine"] & Pick<Engine, "scratchPath">,
  options: BuildOptions,
  method: "check" | "outline" | "targets",
  signal: AbortSignal,
): Promise<CallResult> {
  await using scratch = new Scratch(engine.scratchPath());
  const progress = options.progress ?? (() => {});
  let read: ReadBuild;
  try {
    read = await readBuild({ engine, options, progress, scratch }, signal);
  } catch (error) {
    if (method !== "check" || !(error instanceof BuildError) || error.span === undefined) throw error;
    // An unreadable file is the finding of the checks.
    const buildArgs = new Map(Object.entries(options.buildArgs ?? {}));
    const found = { warnings: warningsAbove(error, { buildArgs }), error };
    return { json: lintJson(found, error.span.source), text: undefined, ...found };
  }
  const { dockerfile, convertOptions, resolver } = read;
  const [first] = convertOptions;
  if (first === undefined) throw new Error("no platform to convert for");
  switch (method) {
    case "check": {
      const found = await lintDockerfile(dockerfile, first, resolver, signal);
      return { json: lintJson(found, dockerfile.source), text: undefined, ...found };
    }
    case "outline": {
      const { outline } = await convertDockerfile(dockerfile, first, resolver, signal);
      return { json: outlineJson(outline, dockerfile), text: outlineText(outline), warnings: [], error: undefined };
    }
    case "targets":
      return { json: targetsJson(dockerfile), text: targetsText(dockerfile), warnings: [], error: undefined };
    default:
      return method satisfies never;
  }
}
