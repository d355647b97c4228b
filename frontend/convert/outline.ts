import type { Span } from "../../lib/core/span.ts";
import type { Json } from "../../lib/core/json.ts";
import type { Dockerfile } from "../instructions/dockerfile.ts";
import type { Outline } from "./conversion.ts";
import { type JsonLocation, locationJson } from "../location-json.ts";

/** Writes the answer to `--call=outline,format=json` as BuildKit's `frontend.outline` does. `sources` are base64. */
export function outlineJson(outline: Outline, dockerfile: Dockerfile): Json {
  return {
    name: outline.name,
    description: outline.description,
    args: optional(
      outline.args.map(({ name, description, value, span }) => ({
        name,
        description,
        // Go omits empty strings.
        value: value === "" ? undefined : value,
        location: locationJson(span),
      })),
    ),
    secrets: optional(outline.secrets.map(required)),
    ssh: optional(outline.ssh.map(required)),
    cache: optional(outline.cacheMounts.map(({ id, span }) => ({ ID: id, location: locationJson(span) }))),
    sources: [Buffer.from(dockerfile.source.text).toString("base64")],
  };
}

function required(fact: { readonly name: string; readonly required: boolean; readonly span: Span }): {
  readonly name: string;
  readonly required: true | undefined;
  readonly location: JsonLocation;
} {
  return { name: fact.name, required: fact.required || undefined, location: locationJson(fact.span) };
}

function optional<Item>(items: readonly Item[]): readonly Item[] | undefined {
  return items.length === 0 ? undefined : items;
}

/** Writes the answer to `--call=outline` as tables. */
export function outlineText(outline: Outline): string {
  const sections: string[] = [];
  if (outline.name !== undefined) sections.push(table([["TARGET:", outline.name]]));
  if (outline.description !== undefined) sections.push(table([["DESCRIPTION:", outline.description]]));
  const add = (rows: readonly (readonly string[])[]): void => {
    if (rows.length > 1) sections.push(table(rows));
  };
  add([
    ["BUILD ARG", "VALUE", "DESCRIPTION"],
    ...outline.args.map(({ name, value, description }) => [name, value ?? "", description ?? ""]),
  ]);
  add([["SECRET", "REQUIRED"], ...outline.secrets.map(({ name, required: is }) => [name, is ? "true" : ""])]);
  add([["SSH", "REQUIRED"], ...outline.ssh.map(({ name, required: is }) => [name, is ? "true" : ""])]);
  return sections.join("\n");
}

/** Lays out columns, each as wide as its widest cell plus three blanks. Ends with a line end. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  const lines = rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd((widths[at] ?? 0) + 3))
      .join("")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}
