import { BuildError } from "../lib/core/errors.ts";
import type { Json } from "../lib/core/json.ts";
import { SourceText } from "../lib/core/span.ts";
import { checksOf, convertChecked } from "./convert/convert.ts";
import { locationJson } from "./location-json.ts";
import type { ConvertOptions } from "./convert/options.ts";
import type { Resolver } from "./convert/resolver.ts";
import type { Dockerfile } from "./instructions/dockerfile.ts";
import { DEFAULT_CHECKS } from "./lint/check-config.ts";
import { checkUpToError } from "./lint/file-checks.ts";
import { Linter } from "./lint/linter.ts";
import type { Warning } from "./lint/warning.ts";
import { parseDockerfile } from "./parse.ts";

/** The findings of `--check`. */
export interface LintResult {
  readonly warnings: readonly Warning[];
  /** The error that a build would end with, warnings apart. */
  readonly error: BuildError | undefined;
  /** The error that a build with `error=true` would end with because of the warnings. */
  readonly violation?: BuildError | undefined;
}

/**
 * Checks a file without building it. Without a target, all stages are checked. An error that would fail the build ends
 * the checks and is part of the result.
 */
export async function lintDockerfile(
  dockerfile: Dockerfile,
  options: ConvertOptions,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<LintResult> {
  let linter = new Linter(DEFAULT_CHECKS);
  const stages = options.target === undefined ? "all" : (options.stages ?? "target");
  try {
    linter = new Linter(checksOf(dockerfile, options));
    await convertChecked(dockerfile, { options: { ...options, stages }, resolver, linter }, signal);
  } catch (error) {
    if (!(error instanceof BuildError) || error.code === "build/cancelled") throw error;
    return { warnings: linter.warnings, error };
  }
  return { warnings: linter.warnings, error: undefined, violation: linter.violation };
}

/**
 * Finds warnings about the instructions above the one with the syntax error, as BuildKit's parser reports them before
 * it stops. Empty for any other error, or when nothing above it makes a file.
 */
export function warningsAbove(error: BuildError, options: Pick<ConvertOptions, "buildArgs">): readonly Warning[] {
  const { span, code } = error;
  if (span === undefined || !code.startsWith("dockerfile/")) return [];
  const { source } = span;
  const above = new SourceText(source.name, source.text.slice(0, instructionStart(source, span.start.line)));
  try {
    const dockerfile = parseDockerfile(above);
    const linter = new Linter(checksOf(dockerfile, options));
    checkUpToError(dockerfile, linter);
    return linter.warnings;
  } catch (failure) {
    if (failure instanceof BuildError) return [];
    throw failure;
  }
}

/**
 * Finds the offset at which the instruction around a line begins. Continued lines belong to it, with either escape
 * character.
 */
function instructionStart(source: SourceText, line: number): number {
  let first = line;
  while (first > 1 && /[\\`]\s*$/.test(source.line(first - 1))) first -= 1;
  return source.lineStarts[first - 1] ?? 0;
}

/** The answer to `--call=check,format=json`, as BuildKit's `frontend.lint` writes it. */
export function lintJson(result: LintResult, source: SourceText): Json {
  const warnings = result.warnings.map((warning) => ({
    ruleName: warning.rule,
    description: warning.description,
    url: warning.url,
    detail: warning.message,
    location: locationJson(warning.span),
  }));
  const failure = result.error ?? result.violation;
  return {
    // Go encodes an empty list as null.
    warnings: warnings.length === 0 ? null : warnings,
    sources: [
      {
        filename: source.name,
        language: "Dockerfile",
        data: Buffer.from(source.text).toString("base64"),
      },
    ],
    buildError:
      failure === undefined
        ? undefined
        : {
            message: failure.message,
            location: result.error?.span === undefined ? {} : locationJson(result.error.span),
          },
  };
}
