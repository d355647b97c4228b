import { BuildError } from "../../../lib/core/errors.ts";

/** Makes the error for a template that cannot be parsed or executed. `position` is its place in the text. */
export function templateError(text: string, position: number, message: string, hint?: string): BuildError {
  const before = text.slice(0, position).split("\n");
  const column = (before.at(-1) ?? "").length + 1;
  const place = before.length > 1 ? `line ${before.length}, column ${column}` : `column ${column}`;
  return new BuildError("cli/template", `Cannot use the template ${JSON.stringify(text)}: ${message} (${place})`, {
    ...(hint === undefined ? {} : { hint }),
  });
}
