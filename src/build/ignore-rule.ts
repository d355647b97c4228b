import { BuildError } from "../core/errors.ts";
import type { IgnorePattern } from "../../frontend/ignore/ignore-file.ts";
import { SourceNotFound } from "../../solver/sources/local/not-found.ts";

/** The same error; when a line of the ignore file is to blame for a missing source, the hint says which. */
export function withIgnoreRule(error: unknown, ignored: readonly IgnorePattern[]): unknown {
  const missing = missingSource(error);
  if (!(error instanceof BuildError) || missing?.missing.excludedBy === undefined) return error;
  const rule = ignored[missing.missing.excludedBy];
  if (rule === undefined) return error;
  const place = `${rule.span.source.name}:${rule.span.start.line}`;
  return new BuildError(error.code, error.message, {
    span: error.span,
    detail: error.detail,
    more: error.more,
    cause: error.cause,
    hint: `${JSON.stringify(rule.text)} in ${place} excludes it; add "!${missing.missing.path}" below that line to keep it`,
  });
}

/** Itself, or what it was thrown for: the solver adds the place in the Dockerfile and keeps the original as cause. */
function missingSource(error: unknown): SourceNotFound | undefined {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof SourceNotFound) return at;
  return undefined;
}
