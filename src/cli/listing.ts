import { printable, printableJson } from "../../lib/core/printable.ts";
import type { CommandContext } from "./context.ts";
import type { ListFormat } from "./flags/format.ts";
import { table } from "./table.ts";

/** Fields of one row, by docker's names. */
export type Row = Readonly<Record<string, string | number | boolean>>;

export interface Listing {
  readonly rows: readonly Row[];
  /** Titles of the fields in a table. */
  readonly titles: Readonly<Record<string, string>>;
  /** The fields that a table has when no template chooses them. */
  readonly columns: readonly string[];
}

/** Prints a list in the requested format. */
export function printListing(context: CommandContext, format: ListFormat, { rows, titles, columns }: Listing): void {
  switch (format.kind) {
    case "json":
      for (const row of rows) context.print(printableJson(row));
      return;
    case "template":
      for (const row of rows) printText(context, format.template.render(row));
      return;
    case "aligned": {
      const [header = [], ...cells] = [titles, ...rows].map((row) => format.template.render(row).split("\t"));
      for (const line of table(header, cells)) context.print(line);
      return;
    }
    case "table": {
      const header = columns.map((name) => titles[name] ?? name);
      const cells = rows.map((row) => columns.map((name) => String(row[name] ?? "")));
      for (const line of table(header, cells)) context.print(line);
      return;
    }
    default:
      return format satisfies never;
  }
}

/** Prints a template's text: as it is for a program, without control characters on a terminal. */
export function printText(context: CommandContext, text: string): void {
  context.print(context.host.stdout.isTTY === true ? printable(text) : text);
}

/** Formats `2026-11-30 19:38:25 +0000 UTC`, a time in docker's lists. */
export function listedTime(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19).replace("T", " ")} +0000 UTC`;
}
