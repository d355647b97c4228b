import type { Command } from "commander";
import { printableJson } from "../../../lib/core/printable.ts";
import { printableName } from "../../../lib/native/names.ts";
import { formatBytes } from "../../progress/step-book.ts";
import type { ImageSize } from "../../engine/look/image-size.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { findImage } from "../find-image.ts";
import { jsonOrTable } from "../flags/format.ts";
import { memorySize } from "../flags/values.ts";
import { table } from "../table.ts";

/** Declares `kiln size`: shows the sizes of an image's layers and of hidden files in them. */
export function sizeCommand(program: Command, cli: Cli): void {
  command(program, cli, "size <image>", run)
    .description("show what each instruction added, and what later ones hid again")
    .option("--top <count>", "how many of the largest files to show", "10")
    .option("--format <format>", "table or json", "table")
    .option("--fail-over <bytes>", "end with status 1 when more than this is hidden again")
    .option("--platform <os/arch>", "which of several platforms")
    .addHelpText(
      "after",
      examples([
        ["kiln size app", "layers, waste and the largest files"],
        ["kiln size --fail-over 20m app", "in a pipeline"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const isJson = jsonOrTable(options["format"]);
  const limit = options["failOver"];
  const limitBytes = typeof limit === "string" ? memorySize(limit, "fail-over") : Number.POSITIVE_INFINITY;
  const { measureImage } = await import("../../engine/look/image-size.ts");
  await using engine = context.openEngine();
  const image = findImage(context, engine.store, args[0] ?? "", options);
  const size = await measureImage(engine, image, context.signal);
  const top = Number(options["top"]);
  const shown = { ...size, largest: size.largest.slice(0, Number.isInteger(top) && top >= 0 ? top : 10) };
  if (isJson) context.print(printableJson(shown, 2));
  else printSize(context, shown);
  // A repeated file hides the one below: counting both would count it twice.
  const hidden = size.layers.reduce((sum, layer) => sum + layer.hiddenBytes, 0);
  return hidden > limitBytes ? 1 : 0;
}

function printSize(context: CommandContext, { layers, largest }: ImageSize): void {
  const sum = (bytes: (layer: ImageSize["layers"][number]) => number): number =>
    layers.reduce((total, layer) => total + bytes(layer), 0);
  const rows = layers.map((layer, index) => [
    String(index + 1),
    formatBytes(layer.addedBytes),
    layer.hiddenBytes === 0 ? "" : formatBytes(layer.hiddenBytes),
    layer.repeatedBytes === 0 ? "" : formatBytes(layer.repeatedBytes),
    String(layer.files),
    shorten(layer.createdBy),
  ]);
  const header = ["LAYER", "ADDED", "HIDDEN LATER", "ONLY RE-OWNED", "FILES", "CREATED BY"];
  for (const line of table(header, rows)) context.print(line);
  context.print("");
  const files = largest.map(({ path, bytes, layer, isHidden }) => [
    formatBytes(bytes),
    String(layer + 1),
    `/${printableName(path)}${isHidden ? " (hidden later)" : ""}`,
  ]);
  if (files.length > 0) for (const line of table(["SIZE", "LAYER", "LARGEST FILES"], files)) context.print(line);
  const hidden = sum((layer) => layer.hiddenBytes);
  const repeated = sum((layer) => layer.repeatedBytes);
  context.print("");
  context.print(`Files: ${formatBytes(sum((layer) => layer.addedBytes))}`);
  context.print(`Hidden by later layers: ${formatBytes(hidden)}`);
  context.print(`Repeated for another owner, mode or time: ${formatBytes(repeated)}`);
}

function shorten(text: string): string {
  const flat = text.replace(/\s*\n\s*/g, " ");
  return flat.length <= 60 ? flat : `${flat.slice(0, 59)}…`;
}
