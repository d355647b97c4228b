import type { Command } from "commander";
import { printableJson, printableLine } from "../../../lib/core/printable.ts";
import type { ImageDifferences } from "../../engine/look/compare-images.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { findImage } from "../find-image.ts";
import { jsonOrTable } from "../flags/format.ts";

/** Declares `kiln diff`: the differences between two images, or the changes of one step. */
export function diffCommand(program: Command, cli: Cli): void {
  command(program, cli, "diff <image-or-step> [other]", run)
    .description("show in what two images differ, or what a step of the last build changed")
    .option("--no-times", "do not compare the times of files, and not those of the configuration")
    .option("--format <format>", "table or json", "table")
    .option("--json", "the same as --format json")
    .option("--platform <os/arch>", "which of several platforms")
    .addHelpText(
      "after",
      [
        examples([
          ["kiln diff app:1 app:2", "what a new version changes"],
          ["kiln diff --no-times app rebuilt", "whether a build can be repeated"],
          ["kiln diff 'RUN make'", "what a step of the last build added (A), modified (M) and deleted (D)"],
          ["kiln diff failed", "the same of the step that failed last"],
        ]),
        "",
        "Ends with status 0 when two images are equal, 1 when they differ. A step is named as in `kiln why`: by number,",
        "stage or a piece of its text.",
      ].join("\n"),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const isJson = options["json"] === true || jsonOrTable(options["format"]);
  const [step = "", other] = args;
  if (other === undefined) return diffStep(context, step, isJson);
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

/** Prints what a step changed. */
async function diffStep(context: CommandContext, wanted: string, isJson: boolean): Promise<number> {
  const { findStep } = await import("../../engine/find-step.ts");
  const { stepChanges } = await import("../../engine/look/step-changes.ts");
  const { changeLines } = await import("../step-change-lines.ts");
  await using engine = context.openEngine();
  const step = findStep(engine.store, wanted);
  const changes = await stepChanges(engine, step.layers, context.signal);
  if (isJson) context.print(printableJson({ step: step.name, changes }, 2));
  else for (const line of [printableLine(step.name), ...changeLines(changes)]) context.print(line);
  return 0;
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
