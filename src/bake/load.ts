import type { SourceText } from "../../lib/core/span.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { type Definition, evaluateDefinition, mergeDefinitions } from "./definition.ts";
import type { DefinitionHost } from "./globals.ts";
import type { Body } from "./hcl/ast.ts";
import { parseHcl, parseJson } from "./hcl/parse.ts";

const BLOCKS = ["target", "group", "variable", "function"];

/** Reads compose files, which only few projects bake from: loaded when one is met. */
export type ComposeReader = (sources: readonly SourceText[]) => Definition;

/**
 * Evaluates the files of a project together. Compose files come first, so that HCL and JSON add to them.
 * @throws {BuildError} `bake/syntax`, `bake/definition`, `bake/expression`
 */
export async function loadDefinition(
  sources: readonly SourceText[],
  host: DefinitionHost,
  compose: () => Promise<ComposeReader>,
): Promise<Definition> {
  const bodies: Body[] = [];
  const composeFiles: SourceText[] = [];
  for (const source of sources) {
    const body = bodyOf(source);
    if (body === undefined) composeFiles.push(source);
    else bodies.push(body);
  }
  const definitions: Definition[] = [];
  if (composeFiles.length > 0) definitions.push((await compose())(composeFiles));
  if (bodies.length > 0) definitions.push(evaluateDefinition(bodies, host));
  return mergeDefinitions(definitions);
}

/** Parses HCL or JSON; `undefined` for a compose file. A name that says nothing is decided by what the text is. */
function bodyOf(source: SourceText): Body | undefined {
  const name = source.name.toLowerCase();
  if (/\.ya?ml$/.test(name)) return undefined;
  if (name.endsWith(".hcl")) return parseHcl(source);
  if (name.endsWith(".json")) return parseJson(source, BLOCKS);
  if (/^\s*\{/.test(source.text)) return parseJson(source, BLOCKS);
  try {
    return parseHcl(source);
  } catch (error) {
    if (error instanceof BuildError && /^(?:services|version|name)\s*:/m.test(source.text)) return undefined;
    throw error;
  }
}
