import { printableJson } from "../../../lib/core/printable.ts";
import type { Command } from "commander";
import { formatBytes } from "../../progress/step-book.ts";
import { type Cli, command } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { listFormat } from "../flags/format.ts";
import { ago, shortId, table } from "../table.ts";

/** `kiln du`: where the store's bytes are. */
export function duCommand(program: Command, cli: Cli): void {
  command(program, cli, "du", run)
    .description("show what takes space in the store")
    .option("--verbose", "also what takes none of its own")
    .option("--format <format>", "table, or json: one object");
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { usage } = await import("../../../lib/store/usage.ts");
  const format = listFormat(options["format"]);
  await using engine = context.openEngine();
  const found = await usage(engine.store, context.signal);
  if (format === "json") {
    context.print(printableJson(found));
    return;
  }
  const now = context.host.nowMs();
  const items = found.items.filter((item) => item.bytes > 0 || options["verbose"] === true);
  const rows = items.map((item) => [
    shortId(item.id),
    item.kind,
    formatBytes(item.bytes),
    ago(item.lastUsedMs, now),
    item.description,
  ]);
  for (const line of table(["ID", "TYPE", "SIZE", "LAST USED", "DESCRIPTION"], rows)) context.print(line);
  context.print(`Other: ${formatBytes(found.otherBytes)}`);
  context.print(`Total: ${formatBytes(found.totalBytes)}`);
}
