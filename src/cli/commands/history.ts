import { printableJson } from "../../../lib/core/printable.ts";
import type { Command } from "commander";
import type { StoredImage } from "../../../lib/store/model.ts";
import type { Store } from "../../../lib/store/store.ts";
import { formatBytes } from "../../progress/step-book.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { listFormat } from "../flags/format.ts";
import { findImage } from "../find-image.ts";
import { ago, shortId, table } from "../table.ts";

/** `kiln history`: the instructions an image was made by, newest first. */
export function historyCommand(program: Command, cli: Cli): void {
  command(program, cli, "history <image>", run)
    .description("show how an image was made")
    .option("--no-trunc", "whole texts")
    .option("-q, --quiet", "only ids")
    .option("--format <format>", "table, or json: one object per line")
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
  const format = listFormat(options["format"]);
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
  const rows = entries.toReversed().map((entry, index) => ({
    id: index === 0 ? (isWhole ? image.configDigest : shortId(image.configDigest)) : "<missing>",
    created: entry.created === undefined ? "N/A" : ago(Date.parse(entry.created), now),
    createdBy: shorten(entry.created_by ?? "", isWhole),
    size: formatBytes(entry.size),
    comment: entry.comment ?? "",
  }));
  if (format === "json") for (const row of rows) context.print(printableJson(row));
  else if (options["quiet"] === true) for (const row of rows) context.print(row.id);
  else {
    const header = ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"];
    const lines = rows.map((row) => [row.id, row.created, row.createdBy, row.size, row.comment]);
    for (const line of table(header, lines)) context.print(line);
  }
}

function layerSizes(image: StoredImage, store: Store): number[] {
  const rows = new Map(store.snapshots.getMany(image.layers).map((row) => [row.id, row]));
  return image.layers.map((id, index) => rows.get(id)?.tarSizeBytes ?? image.manifest.layers[index]?.size ?? 0);
}

/** A table has one line per entry. */
function shorten(text: string, isWhole: boolean): string {
  const flat = text.replace(/\s*\n\s*/g, " ");
  return isWhole || flat.length <= 45 ? flat : `${flat.slice(0, 44)}…`;
}
