import type { Command } from "commander";
import { formatBytes } from "../../progress/step-book.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { listFormat } from "../flags/format.ts";
import { listedTime, printListing } from "../listing.ts";
import { ago, shortId } from "../table.ts";

/** Declares `kiln du`: the disk usage of the store. */
export function duCommand(program: Command, cli: Cli): void {
  command(program, cli, "du", run)
    .description("show what takes space in the store")
    .option("--verbose", "also what takes none of its own")
    .option("--format <format>", "table, json (one object per line), or a Go template such as {{.ID}}")
    .addHelpText(
      "after",
      examples([
        ["kiln du", "the largest last"],
        ["kiln du --format '{{.ID}} {{.Size}}'", "for a script"],
      ]),
    );
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { usage } = await import("../../../lib/store/usage.ts");
  const format = await listFormat(options["format"]);
  await using engine = context.openEngine();
  const found = await usage(engine.store, context.signal);
  const now = context.host.nowMs();
  const isTable = format.kind === "table";
  const items = found.items.filter((item) => !isTable || item.bytes > 0 || options["verbose"] === true);
  const rows = items.map((item) => ({
    Bytes: item.bytes,
    CreatedAt: listedTime(item.createdAtMs),
    Description: item.description,
    ID: isTable ? shortId(item.id) : item.id,
    LastUsedAt: ago(item.lastUsedMs, now),
    Mutable: item.kind === "cache-mount",
    Reclaimable: item.kind !== "image" || item.description === "",
    Shared: item.shared,
    Size: formatBytes(item.bytes),
    Type: item.kind as string,
  }));
  // Files without an item are a row of their own, so that the sum is the whole store.
  const other = { ID: "other", Type: "other", Size: formatBytes(found.otherBytes), Bytes: found.otherBytes };
  const rest = { CreatedAt: "", Description: "", LastUsedAt: "", Mutable: true, Reclaimable: false, Shared: false };
  if (!isTable) rows.push({ ...rest, ...other });
  printListing(context, format, { rows, titles: TITLES, columns: ["ID", "Type", "Size", "LastUsedAt", "Description"] });
  if (!isTable) return;
  context.print(`Other: ${formatBytes(found.otherBytes)}`);
  context.print(`Total: ${formatBytes(found.totalBytes)}`);
}

const TITLES = {
  Bytes: "BYTES",
  CreatedAt: "CREATED AT",
  Description: "DESCRIPTION",
  ID: "ID",
  LastUsedAt: "LAST USED",
  Mutable: "MUTABLE",
  Reclaimable: "RECLAIMABLE",
  Shared: "SHARED",
  Size: "SIZE",
  Type: "TYPE",
};
