import { BuildError } from "../../../lib/core/errors.ts";
import type { Template } from "../template/template.ts";

/** The format of a list: `aligned` is docker's `table TEMPLATE`, columns under their titles. */
export type ListFormat =
  | { readonly kind: "table" | "json" }
  | { readonly kind: "template" | "aligned"; readonly template: Template };

/**
 * Reads `--format` of a list: `table`, `json`, or a Go template.
 * @throws {BuildError} `cli/usage`, `cli/template`
 */
export async function listFormat(value: unknown): Promise<ListFormat> {
  if (value === undefined || value === "" || value === "table") return { kind: "table" };
  if (value === "json") return { kind: "json" };
  const text = typeof value === "string" ? value : "";
  const isAligned = /^table\s/.test(text);
  if (!isAligned && !text.includes("{{")) {
    throw new BuildError("cli/usage", `Cannot use --format ${JSON.stringify(text)}`, {
      hint: "use table, json, or a Go template such as '{{.ID}}'",
    });
  }
  return { kind: isAligned ? "aligned" : "template", template: await templateOf(isAligned ? text.slice(6) : text) };
}

/**
 * Compiles a template like docker: `\t` and `\n` may be written as two characters. The compiler is loaded only when
 * there is a template.
 */
export async function templateOf(text: string): Promise<Template> {
  const { compileTemplate } = await import("../template/template.ts");
  return compileTemplate(text.replaceAll(String.raw`\t`, "\t").replaceAll(String.raw`\n`, "\n"));
}

/**
 * Reads `--format` of a report that is a table or JSON.
 * @returns whether it is JSON
 * @throws {BuildError} `cli/usage`
 */
export function jsonOrTable(value: unknown): boolean {
  if (value === undefined || value === "table" || value === "json") return value === "json";
  throw new BuildError("cli/usage", `Cannot use --format ${JSON.stringify(value)}`, { hint: "use table or json" });
}
