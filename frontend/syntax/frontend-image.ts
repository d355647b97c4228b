import { BuildError } from "../../lib/core/errors.ts";
import { parseReference } from "../../lib/core/reference.ts";
import type { SourceText, Span } from "../../lib/core/span.ts";
import { detectSyntax } from "./directives.ts";

/** Repositories of the built-in language, in every version. */
const BUILT_IN = new Set(["docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream"]);

/**
 * Refuses a file that asks for another frontend than Docker's, which the built-in one replaces. `override` is the build
 * argument BUILDKIT_SYNTAX; it takes precedence over the file.
 * @throws {BuildError} `dockerfile/frontend`
 */
export function requireBuiltInFrontend(source: SourceText, override: string | undefined): void {
  if (override !== undefined) {
    const [ref = ""] = override.trim().split(" ", 1);
    if (ref !== "" && !isBuiltIn(ref)) throw notBuiltIn(ref, undefined);
    return;
  }
  const found = detectSyntax(source);
  if (found !== undefined && found.ref !== "" && !isBuiltIn(found.ref)) throw notBuiltIn(found.ref, found.span);
}

function isBuiltIn(ref: string): boolean {
  try {
    const { registry, repository } = parseReference(ref);
    return BUILT_IN.has(`${registry}/${repository}`);
  } catch (error) {
    if (error instanceof BuildError) return false;
    throw error;
  }
}

function notBuiltIn(ref: string, span: Span | undefined): BuildError {
  const where = span === undefined ? "the build argument BUILDKIT_SYNTAX" : "the syntax line";
  return new BuildError(
    "dockerfile/frontend",
    `Cannot use the frontend ${JSON.stringify(ref)}: only Docker's is built in`,
    {
      span,
      hint: `remove ${where}, or write docker/dockerfile:1`,
    },
  );
}
