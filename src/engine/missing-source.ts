import { BuildError } from "../../lib/core/errors.ts";
import type { IgnorePattern } from "../../frontend/ignore/ignore-file.ts";
import { type MissingSource, SourceNotFound } from "../../solver/select/not-found.ts";

/**
 * The same error; where a source is missing because of a line of the ignore file, or because it was looked for outside the
 * context, the hint says so.
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

/** `COPY ../x` looks for `x`: what was meant stands only in the Dockerfile. */
function outsideHint({ span }: BuildError): string | undefined {
  const text = span?.source.text.slice(span.start.offset, span.end.offset);
  if (text === undefined || !/\s(?:\.\/)*\.\.\//.test(text)) return undefined;
  return '".." does not lead out of the build context: build with a directory further up, or give the other one with --build-context NAME=DIRECTORY and COPY --from=NAME';
}

/** Itself, or what it was thrown for: the solver adds the place in the Dockerfile and keeps the original as cause. */
function missingSource(error: unknown): SourceNotFound | undefined {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof SourceNotFound) return at;
  return undefined;
}
