import type { Command } from "commander";
import { printableJson } from "../../../lib/core/printable.ts";
import type { ImageDifferences } from "../../engine/look/compare-images.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { findImage } from "../find-image.ts";
import { jsonOrTable } from "../flags/format.ts";

/** Declares `kiln diff`: the differences between two images. */
export function diffCommand(program: Command, cli: Cli): void {
  command(program, cli, "diff <image> <other>", run)
    .description("show in what two images differ: configuration, layers, files and their headers")
    .option("--no-times", "do not compare the times of files, and not those of the configuration")
    .option("--format <format>", "table or json", "table")
    .option("--platform <os/arch>", "which of several platforms")
    .addHelpText(
      "after",
      [
        examples([
          ["kiln diff app:1 app:2", "what a new version changes"],
          ["kiln diff --no-times app rebuilt", "whether a build can be repeated"],
        ]),
        "",
        "Ends with status 0 when the images are equal, 1 when they differ.",
      ].join("\n"),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const isJson = jsonOrTable(options["format"]);
  const { compareImages } = await import("../../engine/look/compare-images.ts");
  const { differenceLines } = await import("../../engine/look/difference-lines.ts");
  await using engine = context.openEngine();
  const [before, after] = args.map((name) => findImage(context, engine.store, name, options));
  if (before === undefined || after === undefined) return 1;
  const found = await compareImages(engine, before, after, context.signal);
  const differences = options["times"] === false ? withoutTimes(found) : found;
  if (isJson) context.print(printableJson(differences, 2));
  else for (const line of differenceLines(differences)) context.print(line);
  const isEqual = Object.values(differences).every((list: readonly unknown[]) => list.length === 0);
  return isEqual ? 0 : 1;
}

/** Drops times. Layers are dropped too, because their digests include the times. */
function withoutTimes({ config, files }: ImageDifferences): ImageDifferences {
  const timeless = files.map((file) => ({ ...file, fields: file.fields.filter(({ name }) => name !== "mtime") }));
  return {
    config: config.filter(({ name }) => !/^(?:created|history\[\d+\]\.created)$/.test(name)),
    layers: [],
    files: timeless.filter(({ kind, fields }) => kind !== "changed" || fields.length > 0),
  };
}
