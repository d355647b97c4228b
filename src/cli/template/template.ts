import { Evaluator } from "./evaluate.ts";
import { FUNCTIONS } from "./functions.ts";
import { parseTemplate } from "./parser.ts";
import type { Value } from "./value.ts";

/** A template that was read. */
export interface Template {
  /**
   * Writes the template out for a value.
   * @throws {BuildError} `cli/template` for an unknown field or a wrong argument
   */
  render(data: Value): string;
}

const NAMES: ReadonlySet<string> = new Set(["and", "or", ...FUNCTIONS.keys()]);

/**
 * Reads a Go template.
 * @throws {BuildError} `cli/template`
 */
export function compileTemplate(text: string): Template {
  const tree = parseTemplate(text, NAMES);
  return { render: (data) => new Evaluator(text, tree).run(data) };
}
