import { BuildError } from "../../lib/core/errors.ts";
import type { IgnorePattern } from "../../frontend/ignore/ignore-file.ts";
import { type MissingSource, SourceNotFound } from "../../solver/select/not-found.ts";

/**
 * Adds a hint to the error, where an ignore pattern excludes the missing source, or the source was outside the context.
 */
export function explainMissingSource(error: unknown, ignored: readonly IgnorePattern[]): unknown {
  const missing = missingSource(error);
  if (!(error instanceof BuildError) || missing === undefined) return error;
  return error.withHint(ruleHint(missing.missing, ignored) ?? outsideHint(error));
}

function ruleHint({ excludedBy, path }: MissingSource, ignored: readonly IgnorePattern[]): string | undefined {
  const rule = excludedBy === undefined ? undefined : ignored[excludedBy];
  if (rule === undefined) return undefined;
  const place = `${rule.span.source.name}:${rule.span.start.line}`;
  return `${JSON.stringify(rule.text)} in ${place} excludes it; add "!${path}" below that line to keep it`;
}

/** Makes the hint for `COPY ../x`, which looks for `x`: the original path is only in the Dockerfile. */
function outsideHint({ span }: BuildError): string | undefined {
  const text = span?.source.text.slice(span.start.offset, span.end.offset);
  if (text === undefined || !/\s(?:\.\/)*\.\.\//.test(text)) return undefined;
  return '".." does not lead out of the build context: build with a directory further up, or give the other one with --build-context NAME=DIRECTORY and COPY --from=NAME';
}

/** Finds the original error: the solver adds the place in the Dockerfile and keeps it as cause. */
function missingSource(error: unknown): SourceNotFound | undefined {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof SourceNotFound) return at;
  return undefined;
}
