import type { Command } from "commander";
import { layerSizes } from "../../engine/images/image-size.ts";
import { formatBytes } from "../../progress/step-book.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { listFormat } from "../flags/format.ts";
import { findImage } from "../find-image.ts";
import { printListing } from "../listing.ts";
import { ago, shortId } from "../table.ts";

/** Declares `kiln history`: the instructions that made an image, newest first. */
export function historyCommand(program: Command, cli: Cli): void {
  command(program, cli, "history <image>", run)
    .description("show how an image was made")
    .option("--no-trunc", "whole texts")
    .option("-q, --quiet", "only ids")
    .option("--no-human", "sizes in bytes, times as they are (also --human=false)")
    .option("--format <format>", "table, json (one object per line), or a Go template such as {{.CreatedBy}}")
    .option("--platform <os/arch>", "which of several platforms")
    .addHelpText(
      "after",
      examples([
        ["kiln history app", "what each layer comes from and how large it is"],
        ["kiln history --no-trunc app", "the whole instructions"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const format = await listFormat(options["format"]);
  const isHuman = options["human"] !== false;
  await using engine = context.openEngine();
  const image = findImage(context, engine.store, args[0] ?? "", options);
  const now = context.host.nowMs();
  const isWhole = options["trunc"] === false;
  const sizes = layerSizes(image, engine.store);
  let layer = 0;
  const entries = image.config.history.map((entry) => {
    const size = entry.empty_layer === true ? 0 : (sizes[layer++] ?? 0);
    return { ...entry, size };
  });
  const rows = entries.toReversed().map((entry, index) => {
    const { created } = entry;
    return {
      Comment: entry.comment ?? "",
      CreatedAt: created === undefined ? "N/A" : timeOf(created),
      CreatedBy: shorten(entry.created_by ?? "", isWhole),
      CreatedSince: created === undefined ? "N/A" : isHuman ? ago(Date.parse(created), now) : timeOf(created),
      ID: index === 0 ? (isWhole ? image.configDigest : shortId(image.configDigest)) : "<missing>",
      Size: isHuman ? formatBytes(entry.size) : String(entry.size),
    };
  });
  if (options["quiet"] === true) {
    for (const row of rows) context.print(row.ID);
    return;
  }
  const columns = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
  printListing(context, format, {
    rows,
    titles: isHuman ? TITLES : { ...TITLES, CreatedSince: "CREATED AT" },
    columns,
  });
}

const TITLES = {
  Comment: "COMMENT",
  CreatedAt: "CREATED AT",
  CreatedBy: "CREATED BY",
  CreatedSince: "CREATED",
  ID: "IMAGE",
  Size: "SIZE",
};

/** Formats a time in whole seconds, like docker's history. Other text stays as it is. */
function timeOf(created: string): string {
  const timeMs = Date.parse(created);
  return Number.isNaN(timeMs) ? created : new Date(timeMs).toISOString().replace(/\.\d+Z$/, "Z");
}

/** Shortens a text for a table, which has one line per entry. */
function shorten(text: string, isWhole: boolean): string {
  const flat = text.replace(/\s*\n\s*/g, " ");
  return isWhole || flat.length <= 45 ? flat : `${flat.slice(0, 44)}…`;
}
