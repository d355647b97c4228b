import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { removeImage } from "../../engine/images/remove-images.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { printError } from "../print-error.ts";

/** Declares `kiln rmi`: removes names; an image without a name is removed. `kiln prune` frees the space. */
export function rmiCommand(program: Command, cli: Cli): void {
  command(program, cli, "rmi <image...>", run)
    .description("remove images, or one of their names")
    .option("-f, --force", "remove an image with all its names; a missing one is no error")
    .addHelpText(
      "after",
      examples([
        ["kiln rmi app:1", "one name; the image too, if it was the last"],
        ["kiln rmi -f 406b04187394", "an image with all its names"],
        ["kiln rmi $(kiln images -q 'test/*')", "everything under test/"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number | void> {
  await using engine = context.openEngine();
  const isForced = options["force"] === true;
  let status: number | void = undefined;
  for (const text of args) {
    try {
      const { untagged, deleted } = removeImage(engine.store, text, isForced ? "forced" : "asked");
      for (const name of untagged) context.print(`Untagged: ${name}`);
      for (const digest of deleted) context.print(`Deleted: ${digest}`);
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      if (isForced && error.code === "image/not-found") continue;
      // The others are still removed, as with docker and rm.
      printError(error, context.host);
      status = 1;
    }
  }
  return status;
}
