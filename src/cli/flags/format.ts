import { BuildError } from "../../../lib/core/errors.ts";

/** `--format` of a list: `table`, or `json`. @throws {BuildError} `cli/usage` for docker's templates, which kiln does not read. */
export function listFormat(value: unknown): "table" | "json" {
  if (value === undefined || value === "table") return "table";
  if (value === "json") return "json";
  throw new BuildError("cli/usage", `Cannot use --format ${JSON.stringify(value)}`, {
    hint: "use table or json, and jq for what a template would pick",
  });
}
