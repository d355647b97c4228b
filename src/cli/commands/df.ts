import type { Command } from "commander";
import { formatBytes } from "../../progress/step-book.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { listFormat } from "../flags/format.ts";
import { printListing } from "../listing.ts";
import type { Usage, UsageItem } from "../../../lib/store/usage.ts";

/** Declares `kiln system df`: the store's space by kind. */
export function dfCommand(program: Command, cli: Cli): void {
  command(program, cli, "df", run)
    .description("show the store's space by kind (docker's system df)")
    .option("--format <format>", "table, json (one object per line), or a Go template such as {{.Size}}")
    .addHelpText("after", examples([["kiln df", "images, containers, volumes and cache, as docker shows them"]]));
}

const TITLES = { Type: "TYPE", TotalCount: "TOTAL", Active: "ACTIVE", Size: "SIZE", Reclaimable: "RECLAIMABLE" };

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { usage } = await import("../../../lib/store/usage.ts");
  const format = await listFormat(options["format"]);
  await using engine = context.openEngine();
  const rows = rowsOf(await usage(engine.store, context.signal));
  printListing(context, format, { rows, titles: TITLES, columns: Object.keys(TITLES) });
}

/** Makes docker's four rows. Items without a name that no image needs can be freed. */
function rowsOf({ items, otherBytes }: Usage): Record<keyof typeof TITLES, string>[] {
  const images = items.filter(({ kind }) => kind === "image");
  const cache = items.filter(({ kind }) => kind !== "image");
  const row = (type: string, all: readonly UsageItem[], isFree: (item: UsageItem) => boolean, more = 0) => {
    const free = all.filter(isFree);
    const bytes = sum(all) + more;
    const freeBytes = sum(free);
    const share = bytes === 0 ? "" : ` (${Math.round((100 * freeBytes) / bytes)}%)`;
    return {
      Type: type,
      TotalCount: String(all.length),
      Active: String(all.length - free.length),
      Size: formatBytes(bytes),
      Reclaimable: `${formatBytes(freeBytes)}${share}`,
    };
  };
  const none = (type: string) => row(type, [], () => true);
  return [
    row("Images", images, ({ description }) => description === ""),
    none("Containers"),
    none("Local Volumes"),
    row("Build Cache", cache, ({ shared }) => !shared, otherBytes),
  ];
}

function sum(items: readonly UsageItem[]): number {
  return items.reduce((total, { bytes }) => total + bytes, 0);
}
