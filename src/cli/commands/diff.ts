import type { Command } from "commander";
import { printableJson, printableLine } from "../../../lib/core/printable.ts";
import { printableName } from "../../../lib/native/names.ts";
import type { Difference, FileDifference, ImageDifferences } from "../../engine/look/compare-images.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { findImage } from "../find-image.ts";
import { jsonOrTable } from "../flags/format.ts";
import { shortId } from "../table.ts";

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
  await using engine = context.openEngine();
  const [before, after] = args.map((name) => findImage(context, engine.store, name, options));
  if (before === undefined || after === undefined) return 1;
  const found = await compareImages(engine, before, after, context.signal);
  const differences = options["times"] === false ? withoutTimes(found) : found;
  if (isJson) context.print(printableJson(differences, 2));
  else printDifferences(context, differences);
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

function printDifferences(context: CommandContext, { config, layers, files }: ImageDifferences): void {
  const heading = (text: string, list: readonly unknown[]): void => {
    if (list.length > 0) context.print(text);
  };
  heading("Configuration", config);
  for (const one of config) context.print(printableLine(`  ${changed(one)}`));
  heading("Layers", layers);
  for (const { number, before, after, createdBy } of layers) {
    const [was, is] = [before, after].map((digest) => (digest === undefined ? "none" : shortId(digest)));
    context.print(printableLine(`  ${number}: ${was} -> ${is}  ${createdBy}`));
  }
  heading("Files", files);
  for (const file of files) context.print(printableLine(`  ${fileLine(file)}`));
}

const SIGNS = { added: "+", removed: "-", changed: "~" } as const;

function fileLine({ path, kind, fields }: FileDifference): string {
  const line = `${SIGNS[kind]} /${printableName(path)}`;
  return fields.length === 0 ? line : `${line}: ${fields.map(changed).join(", ")}`;
}

function changed({ name, before, after }: Difference): string {
  return `${name} ${shown(before)} -> ${shown(after)}`;
}

function shown(text: string | undefined): string {
  if (text === undefined) return "(none)";
  return text.startsWith("sha256:") ? shortId(text) : text === "" ? "(none)" : text;
}
