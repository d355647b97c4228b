import type { Command } from "commander";
import { type Cli, command, examples, textsIn } from "../command.ts";
import { type CommandContext, refuseTerminal } from "../context.ts";
import { platformOrDefault } from "../find-image.ts";

/** Declares `kiln import`: makes a base image from a root file system. */
export function importCommand(program: Command, cli: Cli): void {
  command(program, cli, "import <source> [name...]", run)
    .description("make an image from a directory or tar with a root file system")
    .option(
      "-c, --change <instruction>",
      "a Dockerfile instruction to apply: CMD, ENV, USER, ...",
      (value: string, before: readonly string[]): readonly string[] => [...before, value],
      [],
    )
    .option("-m, --message <text>", "comment for the history")
    .option("--platform <os/arch>", "what the files are for (default: this machine)")
    .addHelpText(
      "after",
      examples([
        ["kiln import rootfs.tar debian", "a tar, compressed or not"],
        ["kiln import ./rootfs base:1", "a directory"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const [source = "", ...tags] = args;
  if (source === "-") refuseTerminal(context, "import", "kiln import FILE, or tar -c -C ROOT . | kiln import -");
  const { importImage } = await import("../../engine/images/import-image.ts");
  await using engine = context.openEngine();
  const image = await importImage(
    engine,
    {
      source,
      tags,
      changes: textsIn(options, "change"),
      message: typeof options["message"] === "string" ? options["message"] : `Imported from ${source}`,
      platform: platformOrDefault(context, options),
    },
    context.signal,
  );
  context.print(image.configDigest);
}
