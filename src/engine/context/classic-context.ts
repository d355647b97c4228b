import { PatternMatcher } from "../../../lib/core/patterns/pattern-matcher.ts";
import { SourceText } from "../../../lib/core/span.ts";
import { parseIgnoreFile } from "../../../frontend/ignore/ignore-file.ts";
import type { ContextDeps, LoadedContext } from "./context-deps.ts";
import { readInside } from "./remote-context.ts";

const IGNORE_FILE = ".dockerignore";

/**
 * Applies the rules of docker's classic builder to a context from elsewhere: all files become root's, and the ignore file may
 * leave out the Dockerfile and itself. Clients send both in any case, since the builder needs them, and have left out the rest.
 * @throws {BuildError} `dockerfile/ignore-file`
 */
export function classicContext(context: LoadedContext, deps: ContextDeps): LoadedContext {
  const { directory, dockerfile } = context;
  const source = readInside(directory, IGNORE_FILE, deps);
  const patterns = source === undefined ? [] : parseIgnoreFile(source).patterns.map(({ text }) => text);
  const excludes = new PatternMatcher(patterns);
  const left = [dockerfile.name, IGNORE_FILE].filter((name) => excludes.matches(name));
  const ignoreFile = left.length === 0 ? undefined : new SourceText(IGNORE_FILE, left.map(literal).join("\n"));
  return { ...context, owners: "root", ignoreFile };
}

/** Writes a name as a pattern that matches nothing else. */
function literal(name: string): string {
  return name.replaceAll(/[\\*?[\]]/g, String.raw`\$&`);
}
